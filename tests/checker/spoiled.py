"""Spoiled histories: each a good run in which one thing is as some bug would leave it, and the invariant that must find it."""

from collections.abc import Callable

from tests.checker.tampering import Tampered

Spoil = Callable[[Tampered], object]


def an_acknowledged_order_is_lost(run: Tampered) -> None:
    run.tables["events"] = [row for row in run.tables["events"] if "A1-simple" not in row["stream"]]


def an_order_came_from_nowhere(run: Tampered) -> None:
    run.history = [line for line in run.history if line.get("order_id") != "A1-simple"]


def a_refused_order_was_stored(run: Tampered) -> None:
    run.history[0]["outcome"] = "refused"


def a_quantity_changed_on_the_way(run: Tampered) -> None:
    run.history[0]["order"]["lines"][0]["quantity"] += 1


def the_content_hash_is_anothers(run: Tampered) -> None:
    run.history[0]["content_hash"] = "0" * 64


def a_version_is_missing(run: Tampered) -> None:
    run.tables["events"].remove(run.event("LabelStarted", "A1-simple+1"))


def a_version_exists_twice(run: Tampered) -> None:
    run.event("Delivered", "A1-simple+1")["version"] -= 1


def a_stream_does_not_begin_with_its_first_event(run: Tampered) -> None:
    run.lose(run.event("OrderPlaced", "A1-simple"))


def two_events_share_a_position(run: Tampered) -> None:
    run.event("Delivered", "A1-simple+1")["position"] = 1


def the_global_order_turns_a_stream_round(run: Tampered) -> None:
    one, other = run.event("LabelStarted", "A1-simple+1"), run.event("LabelPurchased", "A1-simple+1")
    one["position"], other["position"] = other["position"], one["position"]


def money_is_a_float(run: Tampered) -> None:
    run.event("Captured", "A1-simple")["data"]["amount"]["amount"] = 30.80


def an_event_lost_a_field(run: Tampered) -> None:
    del run.event("HandedOver", "A1-simple+1")["data"]["scan_id"]


def an_event_has_a_field_that_nobody_knows(run: Tampered) -> None:
    run.event("HandedOver", "A1-simple+1")["data"]["card"] = "4111"


def an_event_of_the_future_is_in_the_log(run: Tampered) -> None:
    run.event("HandedOver", "A1-simple+1")["schema"] = 2


def a_parcel_was_handed_over_without_a_label(run: Tampered) -> None:
    run.lose(run.event("LabelPurchased", "A1-simple+1"))


def a_payment_was_voided_and_captured(run: Tampered) -> None:
    run.happen(run.event("CaptureStarted", "A3-remainder"), run.event("Voided", "A3-remainder"))


def the_answer_is_to_another_question(run: Tampered) -> None:
    run.event("Authorized", "A1-simple")["data"]["key"] = "A1-simple:auth:7"


def an_order_was_planned_while_it_was_held(run: Tampered) -> None:
    run.lose(run.event("HoldReleased", "A5-review"))


def an_order_was_closed_twice(run: Tampered) -> None:
    run.happen(run.event("OrderClosed", "A1-simple"), run.last())


def an_open_order_is_in_limbo(run: Tampered) -> None:
    run.tables["step_runs"] = []


def work_went_on_after_the_close(run: Tampered) -> None:
    run.happen(run.event("Delivered", "A1-simple+1"), run.last())


def a_sample_does_not_add_up(run: Tampered) -> None:
    run.history[-1]["sample"]["orders"] += 1


def the_lines_are_not_the_total(run: Tampered) -> None:
    for placed in (run.event("OrderPlaced", "A1-simple")["data"], run.history[0]["order"]):
        placed["lines"][0]["amount"] -= 1


def a_parcel_was_captured_twice(run: Tampered) -> None:
    row = run.book("captures", order_id="A1-simple")
    run.ledger["captures"].append({**row, "reference": "cap_again", "key": "A1-simple+1:capture:2"})


def a_capture_never_reached_the_gateway(run: Tampered) -> None:
    run.ledger["captures"].remove(run.book("captures", order_id="A1-simple"))


def the_gateway_took_another_amount(run: Tampered) -> None:
    run.book("captures", order_id="A1-simple")["amount"] += 1


def the_gateway_took_another_currency(run: Tampered) -> None:
    run.book("captures", order_id="A1-simple")["currency"] = "USD"


def the_gateway_took_money_of_a_stranger(run: Tampered) -> None:
    row = run.book("captures", order_id="A1-simple")
    run.ledger["captures"].append({**row, "reference": "cap_x", "order_id": "X1", "key": "X1+1:capture:1"})


def a_capture_names_no_capture_of_the_gateway(run: Tampered) -> None:
    run.event("Captured", "A1-simple")["data"]["reference"] = ""


def an_authorization_never_reached_the_gateway(run: Tampered) -> None:
    run.event("Authorized", "A1-simple")["data"]["reference"] = "auth_of_nobody"


def two_authorizations_are_alive(run: Tampered) -> None:
    row = run.book("authorizations", order_id="A1-simple")
    run.ledger["authorizations"].append({**row, "reference": "auth_again", "captured": 0})


def parcels_were_captured_at_the_wrong_price(run: Tampered) -> None:
    for row, rest in ((0, 7), (1, -7)):
        book = [one for one in run.ledger["captures"] if one["order_id"] == "A2-split"][row]
        book["amount"] += rest
        for event in run.tables["events"]:
            if event["data"].get("key") == book["key"]:
                event["data"]["amount"]["amount"] += rest


def a_closed_order_still_holds_money(run: Tampered) -> None:
    run.book("authorizations", order_id="A8-cancelled")["voided"] = 0


def the_sums_differ(run: Tampered) -> None:
    run.ledger["voids"].clear()


def money_was_captured_before_the_hand_over(run: Tampered) -> None:
    events = sorted(
        (row for row in run.tables["events"] if row["type"] in ("HandedOver", "CaptureStarted", "Captured")),
        key=lambda row: row["position"],
    )
    handed, started, captured = (row for row in events if "A1-simple" in row["stream"])
    places = (captured["position"], handed["position"], started["position"])
    handed["position"], started["position"], captured["position"] = places


def a_parcel_left_without_its_goods(run: Tampered) -> None:
    run.lose(run.event("StockAllocated", "EAST+TEA"))


def an_order_was_closed_with_units_left(run: Tampered) -> None:
    run.lose(run.event("LinesCancelled", "A3-remainder"))


def a_parcel_was_never_planned(run: Tampered) -> None:
    run.event("FulfillmentCreated", "A1-simple+1")["data"]["warehouse"] = "WEST"


def more_was_promised_than_is_there(run: Tampered) -> None:
    run.event("StockReceived", "EAST+TEA")["data"]["quantity"] = 1


def more_was_shipped_than_promised(run: Tampered) -> None:
    run.event("StockShipped", "EAST+TEA")["data"]["quantity"] += 1


def a_cancellation_kept_the_goods(run: Tampered) -> None:
    run.lose(run.event("AllocationReleased", "EAST+TEA"))


def a_closed_order_still_waits_in_the_queue(run: Tampered) -> None:
    row = run.event("StockBackordered", "EAST+RARE")
    run.happen(row, run.last(), data={"order_id": "A1-simple"})


def a_plan_covers_more_than_was_ordered(run: Tampered) -> None:
    planned = run.event("FulfillmentPlanned", "A1-simple")["data"]["assignments"][0]
    planned["units"][0]["quantity"] += 1


def two_parcels_have_one_tracking_number(run: Tampered) -> None:
    one, other = run.event("LabelPurchased", "A1-simple+1"), run.event("LabelPurchased", "A2-split+1")
    one["data"]["tracking"] = other["data"]["tracking"]


def a_projection_counted_twice(run: Tampered) -> None:
    run.row("order_summary_v1", order_id="A1-simple")["units_shipped"] *= 2


def a_projection_missed_an_event(run: Tampered) -> None:
    run.tables["order_timeline_v1"].pop(50)


def a_projection_kept_a_row_too_many(run: Tampered) -> None:
    run.tables["stock_backorders_v1"].append({"warehouse": "EAST", "sku": "CUP", "order_id": "A4", "quantity": 1})


def the_pipeline_counts_are_off(run: Tampered) -> None:
    run.row("pipeline_counts_v1", stage="closed")["orders"] += 1


def the_stock_level_is_off(run: Tampered) -> None:
    run.row("stock_levels_v1", warehouse="EAST", sku="TEA")["on_hand"] += 1


def the_checkpoint_is_ahead_of_its_rows(run: Tampered) -> None:
    run.tables["order_summary_v1"].remove(run.row("order_summary_v1", order_id="B1-open"))


def a_projection_has_stopped(run: Tampered) -> None:
    run.row("checkpoints", name="stock_levels").update(state="stopped", stopped_at=9, reason="unknown event")


def a_closed_order_has_work_left(run: Tampered) -> None:
    run.tables["step_runs"].append({**run.row("step_runs", order_id="B1-open"), "order_id": "A1-simple"})


def a_dead_run_has_no_letter(run: Tampered) -> None:
    run.row("step_runs", order_id="B1-open")["state"] = "dead"


def a_run_is_held_by_nobody(run: Tampered) -> None:
    run.row("step_runs", order_id="B1-open").update(state="running", holder=999, epoch=1)


def work_exists_for_no_order(run: Tampered) -> None:
    run.row("step_runs", order_id="B1-open")["order_id"] = "X1"


def an_event_was_caused_by_another_order(run: Tampered) -> None:
    run.event("Delivered", "A1-simple+1")["meta"]["correlation_id"] = "A2-split"


def a_letter_was_sent_twice(run: Tampered) -> None:
    row = run.book("mails", order_id="A1-simple")
    run.ledger["mails"].append({**row, "message_id": "msg_again"})


def a_letter_was_never_sent(run: Tampered) -> None:
    run.ledger["mails"].remove(run.book("mails", order_id="A1-simple"))


def a_label_was_bought_twice(run: Tampered) -> None:
    row = run.book("labels", fulfillment_id="A1-simple+1")
    run.ledger["labels"].append({**row, "tracking": "trk_again", "key": "A1-simple+1:label:2"})


BAD: list[tuple[str, Spoil]] = [
    ("K1", an_acknowledged_order_is_lost),
    ("K2", an_order_came_from_nowhere),
    ("K2", a_refused_order_was_stored),
    ("K3", a_quantity_changed_on_the_way),
    ("K3", the_content_hash_is_anothers),
    ("K4", a_version_is_missing),
    ("K4", a_version_exists_twice),
    ("K4", a_stream_does_not_begin_with_its_first_event),
    ("K5", two_events_share_a_position),
    ("K5", the_global_order_turns_a_stream_round),
    ("K6", money_is_a_float),
    ("K6", an_event_lost_a_field),
    ("K6", an_event_has_a_field_that_nobody_knows),
    ("K6", an_event_of_the_future_is_in_the_log),
    ("K7", a_parcel_was_handed_over_without_a_label),
    ("K7", a_payment_was_voided_and_captured),
    ("K7", the_answer_is_to_another_question),
    ("K7", an_order_was_planned_while_it_was_held),
    ("K8", an_order_was_closed_twice),
    ("K8", an_open_order_is_in_limbo),
    ("K8", work_went_on_after_the_close),
    ("K9", a_sample_does_not_add_up),
    ("K37", the_lines_are_not_the_total),
    ("K10", a_parcel_was_captured_twice),
    ("K10", a_capture_never_reached_the_gateway),
    ("K10", the_gateway_took_another_amount),
    ("K10", the_gateway_took_another_currency),
    ("K10", the_gateway_took_money_of_a_stranger),
    ("K10", a_capture_names_no_capture_of_the_gateway),
    ("K10", an_authorization_never_reached_the_gateway),
    ("K10", two_authorizations_are_alive),
    ("K10", parcels_were_captured_at_the_wrong_price),
    ("K11", a_closed_order_still_holds_money),
    ("K11", the_sums_differ),
    ("K12", money_was_captured_before_the_hand_over),
    ("K12", a_parcel_left_without_its_goods),
    ("K12", an_order_was_closed_with_units_left),
    ("K12", a_parcel_was_never_planned),
    ("K13", more_was_promised_than_is_there),
    ("K13", more_was_shipped_than_promised),
    ("K14", a_cancellation_kept_the_goods),
    ("K14", a_closed_order_still_waits_in_the_queue),
    ("K15", a_plan_covers_more_than_was_ordered),
    ("K15", two_parcels_have_one_tracking_number),
    ("K16", a_projection_counted_twice),
    ("K16", a_projection_missed_an_event),
    ("K16", a_projection_kept_a_row_too_many),
    ("K16", the_pipeline_counts_are_off),
    ("K16", the_stock_level_is_off),
    ("K16", the_checkpoint_is_ahead_of_its_rows),
    ("K16", a_projection_has_stopped),
    ("K18", a_closed_order_has_work_left),
    ("K18", a_dead_run_has_no_letter),
    ("K19", a_run_is_held_by_nobody),
    ("K19", work_exists_for_no_order),
    ("K19", an_event_was_caused_by_another_order),
    ("K20", a_letter_was_sent_twice),
    ("K20", a_letter_was_never_sent),
    ("K20", a_label_was_bought_twice),
]
