"""Spoiled histories of a run that was watched: each breaks exactly the one invariant that it is listed with."""

from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta
from typing import Any

from tests.checker.tampering import Tampered

Spoil = Callable[[Tampered], object]


def later(text: str, seconds: float) -> str:
    return (datetime.fromisoformat(text) + timedelta(seconds=seconds)).isoformat()


def an_event_appeared_behind_a_reader(run: Tampered) -> None:
    run.seen("given")["given"]["events"] -= 1


def a_checkpoint_went_back(run: Tampered) -> None:
    look = deepcopy(run.watched[-1])
    look["checkpoints"]["order_summary"]["position"] -= 1
    run.watched.append(look)


def a_checkpoint_is_beyond_the_head(run: Tampered) -> None:
    run.watched[-1]["head"] -= 1


def nobody_is_told_of_a_due_run(run: Tampered) -> None:
    row = run.row("step_runs", order_id="E-open")
    row.update(due_at=run.tables["moment"][0]["at"], wake_at="infinity")


def a_dead_message_lost_its_bytes(run: Tampered) -> None:
    run.row("dead_letters", kind="message")["body"] = None


def a_dead_message_kept_other_bytes(run: Tampered) -> None:
    letter = run.row("dead_letters", kind="message")
    letter["body"] = letter["body"][:-2] + "00"


def a_dead_letter_has_no_cause(run: Tampered) -> None:
    run.row("dead_letters", kind="run")["reason"] = " "


def a_dead_run_was_tried_too_often(run: Tampered) -> None:
    run.row("dead_letters", kind="run")["attempts"] = 9


def an_innocent_is_dead(run: Tampered) -> None:
    run.history = [line for line in run.history if "order_id" not in line.get("planted", {})]


def a_planted_message_vanished(run: Tampered) -> None:
    run.tables["dead_letters"].remove(run.row("dead_letters", kind="message"))


def the_gateway_was_called_without_end(run: Tampered) -> None:
    run.book("requests", operation="capture")["attempts"] = 99


def a_wait_was_longer_than_the_ceiling(run: Tampered) -> None:
    look = run.seen("step_runs")
    row = next(iter(look["step_runs"].values()))
    waiting = {**row, "state": "ready", "attempts": 7, "last_error": "Transient", "due_at": later(look["at"], 3600)}
    look["step_runs"]["E-0/risk/0/1"] = {**waiting, "holder": None, "epoch": None, "parked_on": None}


def everybody_comes_back_at_once(run: Tampered) -> None:
    look = run.seen("step_runs")
    row = next(iter(look["step_runs"].values()))
    waiting = {**row, "state": "ready", "attempts": 1, "last_error": "Transient", "due_at": later(look["at"], 1)}
    for number in range(30):
        look["step_runs"][f"X-{number}/risk/0/1"] = {**waiting, "holder": None, "epoch": None, "parked_on": None}


def a_stale_holder_wrote(run: Tampered) -> None:
    """Another epoch was seen to have the run before the event was written."""
    event = run.event("Authorized", "E-0")
    name = event["meta"]["causation_id"]
    epoch = int(event["meta"]["command_id"].rpartition("@")[2])
    row: dict[str, Any] = next(row for look in run.watched for row in look.get("step_runs", {}).values())
    at = later(event["recorded_at"], -0.01)
    place = sum(datetime.fromisoformat(look["at"]) <= datetime.fromisoformat(at) for look in run.watched)
    before = {name: run.watched[place - 1][name] for name in ("head", "checkpoints", "busy")}
    run.watched.insert(place, {**before, "at": at, "step_runs": {name: {**row, "epoch": epoch + 1}}})


def an_epoch_went_back(run: Tampered) -> None:
    event = run.event("CaptureStarted", "E-0")
    ended = run.event("Captured", "E-0")
    run_name = ended["meta"]["causation_id"]
    event["meta"].update(command_id=f"{run_name}@999", causation_id=run_name)


def a_living_holder_was_robbed(run: Tampered) -> None:
    look = run.watched[2]
    holder = next(key for look in run.watched for key in look.get("holders", {}))
    known = next(look["holders"][holder] for look in run.watched if holder in look.get("holders", {}))
    row = next(row for look in run.watched for row in look.get("step_runs", {}).values())
    for place, lost_by in ((-4, None), (-3, int(holder))):
        look = run.watched[place]
        look["step_runs"] = {
            "E-0/risk/0/1": {**row, "state": "ready", "epoch": None, "holder": None, "lost_by": lost_by}
        }
    run.watched[-4]["holders"] = {holder: known}
    run.watched[-2]["holders"] = {holder: {**known, "expires_at": later(known["expires_at"], 99)}}


def a_lock_outlives_everything(run: Tampered) -> None:
    lock = {"pid": 1, "application": "orderwright", "class": 1, "object": 2, "kind": 1, "mode": "ExclusiveLock"}
    run.tables["server_locks"].append(lock)


def an_idle_session_keeps_a_lock(run: Tampered) -> None:
    lock = {"pid": 1, "application": "orderwright", "class": 12345, "object": 678, "kind": 1, "mode": "ExclusiveLock"}
    run.watched[-1]["idle_locks"] = [lock]


def _opened(run: Tampered) -> str:
    """The breaker of the payments is open from the first authorization on; returns when that was."""
    at = str(run.event("AuthorizationStarted", "E-0")["recorded_at"])
    opened = {"id": 1, "dependency": "payment", "at": at, "before": "closed", "after": "open", "why": "", "who": ""}
    run.tables["breaker_transitions"] = [opened]
    run.ledger["calls"] = []
    return at


def an_open_breaker_let_calls_through(run: Tampered) -> None:
    at = datetime.fromisoformat(_opened(run)).timestamp()
    run.ledger["calls"].append({"at": round(at * 1000) + 1700, "operation": "capture", "subject": "E-0+1:capture:1"})


def a_half_open_breaker_let_too_many_through(run: Tampered) -> None:
    at = _opened(run)
    half = {**run.tables["breaker_transitions"][0], "id": 2, "before": "open", "after": "half_open", "at": later(at, 1)}
    run.tables["breaker_transitions"].append(half)
    moment = datetime.fromisoformat(at).timestamp()
    for number in range(4):
        call = {"at": round(moment * 1000) + 1200, "operation": "inquire", "subject": f"E-{number}:auth:1"}
        run.ledger["calls"].append(call)


def a_breaker_closed_without_a_probe(run: Tampered) -> None:
    at = _opened(run)
    closed = {
        **run.tables["breaker_transitions"][0],
        "id": 2,
        "before": "open",
        "after": "closed",
        "at": later(at, 0.1),
    }
    run.tables["breaker_transitions"].append(closed)


def a_timer_fired_early(run: Tampered) -> None:
    held = run.event("HoldPlaced", "E-declined")["data"]
    held["until"] = later(held["until"], 20)


def a_timer_fired_late(run: Tampered) -> None:
    held = run.event("HoldPlaced", "E-declined")["data"]
    held["until"] = later(held["until"], -40)


def a_client_does_not_see_what_it_wrote(run: Tampered) -> None:
    run.told("read")["waited"] += 1


def a_client_is_taken_back(run: Tampered) -> None:
    run.history.append({"read": {**run.told("read"), "waited": None, "position": 1}})


def _set(run: Tampered, *calls: dict[str, Any]) -> None:
    """Somebody changed the settings to version 1, and somebody did what else is given."""
    change = {"client": "w", "call": "change", "began": 1.0, "ended": 2.0, "outcome": "done", "expected": 0}
    run.history += [{"settings": {"values": {}, **call}} for call in ({**change, "version": 1}, *calls)]


def a_stale_setting_was_read(run: Tampered) -> None:
    _set(run, {"client": "r", "call": "read", "began": 3.0, "ended": 4.0, "version": 0})


def two_people_made_the_same_version(run: Tampered) -> None:
    change = {"client": "r", "call": "change", "began": 1.0, "ended": 2.0, "outcome": "done", "expected": 0}
    _set(run, {**change, "version": 1, "values": {"another": 1}})


def a_worker_went_back_to_older_settings(run: Tampered) -> None:
    seen = {"client": "worker", "call": "seen"}
    _set(run, {**seen, "at": 3.0, "version": 1}, {**seen, "at": 4.0, "version": 0})


def a_role_started_again_with_older_settings(run: Tampered) -> None:
    said = [f'{{"version": {version}, "event": "settings in force", "level": "info"}}' for version in (2, 1)]
    run.logs["worker-1.log"] = [*run.logs.get("worker-1.log", []), *said]


def an_action_left_no_event(run: Tampered) -> None:
    run.history.append({"action": {"action": "discard", "order_id": "E-dead", "outcome": "done"}})


def an_event_tells_of_an_action_that_nobody_took(run: Tampered) -> None:
    run.told("action")["order_id"] = "E-0"
    run.told("action")["outcome"] = "unknown"


def a_log_tells_a_card_number(run: Tampered) -> None:
    run.logs["one.log"].append('{"event": "paid with 4111 1111 1111 1111", "level": "info"}')


def a_process_ended_in_a_traceback(run: Tampered) -> None:
    run.logs["one.log"] += ["Traceback (most recent call last):", "KeyError: 'x'"]


def a_process_logged_an_error(run: Tampered) -> None:
    run.logs["one.log"].append('{"event": "projection.stopped", "level": "error"}')


def a_process_leaks_files(run: Tampered) -> None:
    next(line for line in run.history if line.get("resources", {}).get("phase") == "end")["resources"]["fds"] += 999


def a_transaction_was_left_open(run: Tampered) -> None:
    session = {"pid": 1, "application": "x", "state": "idle in transaction", "state_s": 60.0, "transaction_s": 60.0}
    run.tables["server_sessions"].append(session)


def nothing_happened_for_long(run: Tampered) -> None:
    look = run.watched[-1]
    run.watched += [{**look, "at": later(look["at"], 10 * n), "busy": 3} for n in range(1, 9)]


def something_never_came_to_rest(run: Tampered) -> None:
    calm = next(line for line in run.history if line.get("mark") == "calm")
    calm["at"] = later(calm["at"], -300)
    run.row("step_runs", order_id="E-open")["due_at"] = later(run.tables["moment"][0]["at"], -5)
    run.row("step_runs", order_id="E-open")["wake_at"] = later(run.tables["moment"][0]["at"], -5)


def an_index_lost_an_event(run: Tampered) -> None:
    run.tables["index_counts"][1]["by_stream"] -= 1


def an_index_is_not_valid(run: Tampered) -> None:
    run.tables["server_indexes"][0]["valid"] = False


BAD_RUNS: list[tuple[str, Spoil]] = [
    ("K5", an_event_appeared_behind_a_reader),
    ("K17", a_checkpoint_went_back),
    ("K17", a_checkpoint_is_beyond_the_head),
    ("K18", nobody_is_told_of_a_due_run),
    ("K21", a_dead_message_lost_its_bytes),
    ("K21", a_dead_message_kept_other_bytes),
    ("K21", a_dead_letter_has_no_cause),
    ("K21", a_dead_run_was_tried_too_often),
    ("K22", an_innocent_is_dead),
    ("K22", a_planted_message_vanished),
    ("K23", the_gateway_was_called_without_end),
    ("K23", a_wait_was_longer_than_the_ceiling),
    ("K23", everybody_comes_back_at_once),
    ("K24", a_stale_holder_wrote),
    ("K24", an_epoch_went_back),
    ("K24", a_living_holder_was_robbed),
    ("K24", a_lock_outlives_everything),
    ("K24", an_idle_session_keeps_a_lock),
    ("K25", an_open_breaker_let_calls_through),
    ("K25", a_half_open_breaker_let_too_many_through),
    ("K25", a_breaker_closed_without_a_probe),
    ("K26", a_timer_fired_early),
    ("K26", a_timer_fired_late),
    ("K27", a_client_does_not_see_what_it_wrote),
    ("K28", a_client_is_taken_back),
    ("K29", a_stale_setting_was_read),
    ("K29", two_people_made_the_same_version),
    ("K29", a_worker_went_back_to_older_settings),
    ("K29", a_role_started_again_with_older_settings),
    ("K30", an_action_left_no_event),
    ("K30", an_event_tells_of_an_action_that_nobody_took),
    ("K31", a_log_tells_a_card_number),
    ("K32", a_process_ended_in_a_traceback),
    ("K32", a_process_logged_an_error),
    ("K33", a_process_leaks_files),
    ("K33", a_transaction_was_left_open),
    ("K34", nothing_happened_for_long),
    ("K35", something_never_came_to_rest),
    ("K36", an_index_lost_an_event),
    ("K36", an_index_is_not_valid),
]
