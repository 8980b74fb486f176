"""The contract of `domain.ports.EventStore`: whatever keeps events passes it.

An adapter's module subclasses `AppendingContract`, `TogetherContract` and `ReadingContract` and brings a fixture `store`.
"""

from datetime import UTC, timedelta

import pytest

from domain.errors import Poison
from domain.order import HoldPlaced
from domain.ports import Meta, Unit
from domain.work import Want
from tests.contracts.stores import AT, Store, meta, note, outcomes, run_key, texts, unit


class AppendingContract:
    """One unit at a time: versions, conflicts, repeats, and what cannot be stored."""

    def test_the_first_event_of_a_stream_has_version_one(self, store: Store) -> None:
        store.append([unit({"order-o1": 0}, ("order-o1", "a"))])
        assert [(e.stream, e.version) for e in store.read({"order-o1": 0})] == [("order-o1", 1)]

    def test_an_event_is_read_back_with_all_that_is_known_of_it(self, store: Store) -> None:
        known = Meta(command_id="c-1", causation_id="run-1", correlation_id="o1", actor="clerk")
        store.append([Unit(lock="o1", expected={"order-o1": 0}, events=[("order-o1", note("ä€😀"))], meta=known)])
        [event] = store.read({"order-o1": 0})
        assert event.event == note("ä€😀")
        assert event.meta == known
        assert abs(event.recorded_at - store.now()) < timedelta(minutes=1)

    def test_events_of_one_unit_keep_their_order_across_streams(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "a"), ("payment-o1", "b"), ("order-o1", "c"))])
        events = store.read_all(after=0)
        assert texts(events) == ["a", "b", "c"]
        assert [event.version for event in events] == [1, 1, 2]

    def test_positions_grow_in_the_order_of_appending(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "a"), ("order-o1", "b")), unit({}, ("order-o2", "c"))])
        store.append([unit({"order-o1": 2}, ("order-o1", "d"))])
        positions = [event.position for event in store.read_all(after=0)]
        assert positions == sorted(set(positions))
        assert texts(store.read_all(after=0)) == ["a", "b", "c", "d"]

    def test_a_stale_version_is_refused_and_says_what_it_is(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "a"))])
        [verdict] = store.append([unit({"order-o1": 0}, ("order-o1", "late"))])
        assert (verdict.outcome, verdict.stream) == ("conflict", "order-o1")
        assert (verdict.expected, verdict.current) == (0, 1)
        assert texts(store.read({"order-o1": 0})) == ["a"]

    def test_a_version_from_the_future_is_refused(self, store: Store) -> None:
        [verdict] = store.append([unit({"order-o1": 1}, ("order-o1", "a"))])
        assert (verdict.outcome, verdict.expected, verdict.current) == ("conflict", 1, 0)

    def test_a_stale_stream_that_was_only_read_refuses_the_unit(self, store: Store) -> None:
        store.append([unit({}, ("stock-w+s", "a"))])
        [verdict] = store.append([unit({"stock-w+s": 0}, ("order-o1", "a"))])
        assert (verdict.outcome, verdict.stream, verdict.current) == ("conflict", "stock-w+s", 1)
        assert store.read({"order-o1": 0}) == []

    def test_streams_that_are_written_together_are_written_together_or_not_at_all(self, store: Store) -> None:
        store.append([unit({}, ("payment-o1", "a"))])
        refused = unit({"payment-o1": 0}, ("order-o1", "b"), ("payment-o1", "b"), wanted=[Want(run_key())])
        assert outcomes(store.append([refused])) == ["conflict"]
        assert store.read({"order-o1": 0}) == []
        assert store.runs() == []

    def test_a_repeated_command_appends_nothing_and_says_so(self, store: Store) -> None:
        command = unit({}, ("order-o1", "a"), command="c-1", wanted=[Want(run_key())])
        assert outcomes(store.append([command])) == ["appended"]
        again = unit({"order-o1": 1}, ("order-o1", "a"), command="c-1", wanted=[Want(run_key(part=7))])
        assert outcomes(store.append([command])) == ["repeated"]
        assert outcomes(store.append([again])) == ["repeated"]
        assert texts(store.read({"order-o1": 0})) == ["a"]
        assert len(store.runs()) == 1

    def test_a_command_that_had_no_events_is_repeated_as_well(self, store: Store) -> None:
        assert outcomes(store.append([unit({}, command="c-1")])) == ["appended"]
        assert outcomes(store.append([unit({}, command="c-1")])) == ["repeated"]

    def test_a_refused_command_may_come_again(self, store: Store) -> None:
        assert outcomes(store.append([unit({"order-o1": 5}, ("order-o1", "a"), command="c-1")])) == ["conflict"]
        assert outcomes(store.append([unit({"order-o1": 0}, ("order-o1", "a"), command="c-1")])) == ["appended"]

    def test_no_units_are_no_work(self, store: Store) -> None:
        assert list(store.append([])) == []

    @pytest.mark.parametrize(
        "event",
        ["no event", note("nul \x00 inside"), note("half a pair \ud800")],
        ids=["no event", "a NUL", "half a pair"],
    )
    def test_what_cannot_be_stored_is_poison_and_nothing_of_the_call_is_written(
        self, store: Store, event: HoldPlaced | str
    ) -> None:
        poison = Unit(lock="o2", expected={"order-o2": 0}, events=[("order-o2", event)], meta=meta())
        with pytest.raises(Poison):
            store.append([unit({}, ("order-o1", "good")), poison])
        assert store.read_all(after=0) == []

    def test_a_text_that_only_looks_like_a_nul_can_be_stored(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "\\u0000"))])
        assert texts(store.read({"order-o1": 0})) == ["\\u0000"]

    @pytest.mark.parametrize("actor", ["nul \x00 inside", "half a pair \ud800"], ids=["a NUL", "half a pair"])
    def test_metadata_that_cannot_be_stored_is_poison(self, store: Store, actor: str) -> None:
        known = Meta(command_id="c-1", actor=actor)
        with pytest.raises(Poison):
            store.append([Unit(lock="o1", expected={"order-o1": 0}, events=[("order-o1", note("a"))], meta=known)])

    def test_the_clock_is_aware_and_does_not_go_back(self, store: Store) -> None:
        before = store.now()
        store.append([unit({}, ("order-o1", "a"))])
        assert before.tzinfo is not None
        assert before.astimezone(UTC) <= store.now()


class TogetherContract:
    """Many units in one call: each stands alone, except those that build on one another."""

    def test_a_stale_unit_does_not_sink_the_others(self, store: Store) -> None:
        store.append([unit({}, ("order-o2", "there before"))])
        verdicts = store.append(
            [
                unit({}, ("order-o1", "a")),
                unit({"order-o2": 0}, ("order-o2", "late"), lock="o2"),
                unit({}, ("order-o3", "c"), lock="o3"),
            ]
        )
        assert outcomes(verdicts) == ["appended", "conflict", "appended"]
        assert texts(store.read({"order-o1": 0, "order-o2": 0, "order-o3": 0})) == ["a", "there before", "c"]

    def test_a_unit_may_build_on_one_before_it(self, store: Store) -> None:
        first = unit({}, ("stock-w+s", "a"), ("order-o1", "a"))
        second = unit({"stock-w+s": 1}, ("stock-w+s", "b"), ("order-o2", "b"), lock="o2")
        assert outcomes(store.append([first, second])) == ["appended", "appended"]
        assert texts(store.read({"stock-w+s": 0})) == ["a", "b"]

    def test_a_unit_that_did_not_see_the_one_before_it_is_refused(self, store: Store) -> None:
        first = unit({"stock-w+s": 0}, ("stock-w+s", "a"))
        second = unit({"stock-w+s": 0}, ("stock-w+s", "b"), lock="o2")
        assert "conflict" in outcomes(store.append([first, second]))
        assert len(store.read({"stock-w+s": 0})) < 2

    def test_what_builds_on_a_refused_unit_is_refused(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "there before"))])
        refused = unit({"order-o1": 0}, ("order-o1", "a"), ("stock-w+s", "a"))
        built_on_it = unit({"stock-w+s": 1}, ("stock-w+s", "b"), ("order-o2", "b"), lock="o2")
        built_on_that = unit({"order-o2": 1}, ("order-o2", "c"), lock="o2")
        alone = unit({}, ("order-o3", "d"), lock="o3")
        verdicts = store.append([refused, built_on_it, built_on_that, alone])
        assert outcomes(verdicts) == ["conflict", "conflict", "conflict", "appended"]
        assert texts(store.read_all(after=0)) == ["there before", "d"]

    def test_what_only_read_the_stream_of_a_refused_unit_is_refused(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "there before"))])
        refused = unit({"order-o1": 0}, ("order-o1", "a"), ("stock-w+s", "a"))
        saw_it = unit({"stock-w+s": 1}, ("order-o2", "b"), lock="o2")
        assert outcomes(store.append([refused, saw_it])) == ["conflict", "conflict"]
        assert store.read({"order-o2": 0}) == []

    def test_two_units_that_read_what_the_other_writes_are_not_both_appended(self, store: Store) -> None:
        one = unit({"stock-w+b": 0}, ("stock-w+a", "by one"))
        other = unit({"stock-w+a": 0}, ("stock-w+b", "by the other"), lock="o2")
        assert outcomes(store.append([one, other])).count("appended") < 2

    def test_a_command_that_comes_twice_in_one_call_is_done_once(self, store: Store) -> None:
        command = unit({}, ("order-o1", "a"), command="c-1")
        other = unit({}, ("order-o2", "b"), lock="o2")
        assert outcomes(store.append([command, other, command])) == ["appended", "appended", "repeated"]
        assert texts(store.read_all(after=0)) == ["a", "b"]

    def test_the_repeat_of_a_command_that_was_refused_in_the_same_call_was_not_done(self, store: Store) -> None:
        command = unit({"order-o1": 3}, ("order-o1", "a"), command="c-1")
        assert outcomes(store.append([command, command])) == ["conflict", "conflict"]

    def test_hundreds_of_orders_go_in_one_call(self, store: Store) -> None:
        many = [unit({}, (f"order-o{n}", "a"), (f"payment-o{n}", "b"), lock=f"o{n}") for n in range(400)]
        assert set(outcomes(store.append(many))) == {"appended"}
        assert len(store.read_all(after=0)) == 800


class ReadingContract:
    """Reading by stream, by order and in the global order."""

    def test_a_stream_is_read_after_a_version(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "a"), ("order-o1", "b"), ("order-o2", "c"))])
        assert texts(store.read({"order-o1": 1})) == ["b"]
        assert store.read({"order-o1": 2}) == []
        assert store.read({"order-nobody": 0}) == []
        assert store.read({}) == []

    def test_many_streams_are_read_at_once_each_in_order(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "a"), ("payment-o1", "x"), ("order-o1", "b"), ("payment-o1", "y"))])
        events = store.read({"order-o1": 0, "payment-o1": 1})
        assert texts(e for e in events if e.stream == "order-o1") == ["a", "b"]
        assert texts(e for e in events if e.stream == "payment-o1") == ["y"]

    def test_an_order_is_read_with_all_its_streams(self, store: Store) -> None:
        streams = ["order-o1", "payment-o1", "process-o1", "fulfillment-o1+1", "fulfillment-o1+12", "stock-w+o1"]
        store.append([unit({}, *[(stream, stream) for stream in [*streams, *streams]])])
        events = store.read_orders(["o1"])
        for stream in streams[:-1]:
            assert [e.version for e in events if e.stream == stream] == [1, 2]
        assert {event.stream for event in events} == set(streams[:-1])

    @pytest.mark.parametrize("order_id", ["a", "a_b", "a.b", "a-1", "A", "1"])
    def test_an_order_is_not_mixed_up_with_one_of_a_similar_name(self, store: Store, order_id: str) -> None:
        similar = ["a", "A", "a_b", "a.b", "axb", "a-1", "a-b", "a1", "1", "order-a"]
        for number, other in enumerate(similar):
            streams = [f"order-{other}", f"fulfillment-{other}+1", f"fulfillment-{other}+2"]
            store.append([unit({}, *[(stream, stream) for stream in streams], command=f"c{number}", lock=other)])
        wanted = {f"order-{order_id}", f"fulfillment-{order_id}+1", f"fulfillment-{order_id}+2"}
        assert {event.stream for event in store.read_orders([order_id])} == wanted

    def test_an_order_that_is_named_twice_is_read_once(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "a"), ("order-o2", "b"))])
        assert sorted(texts(store.read_orders(["o1", "o2", "o1"]))) == ["a", "b"]
        assert store.read_orders([]) == []

    def test_the_global_order_is_read_in_pages(self, store: Store) -> None:
        store.append([unit({}, *[("order-o1", str(n)) for n in range(10)])])
        seen: list[str] = []
        position = 0
        while page := store.read_all(after=position, limit=3):
            assert len(page) <= 3
            seen += texts(page)
            position = page[-1].position
        assert seen == [str(n) for n in range(10)]

    def test_the_global_order_is_read_up_to_a_position(self, store: Store) -> None:
        store.append([unit({}, *[("order-o1", str(n)) for n in range(5)])])
        third = store.read_all(after=0)[2].position
        assert texts(store.read_all(after=0, up_to=third)) == ["0", "1", "2"]
        assert texts(store.read_all(after=third, up_to=third)) == []
        assert len(store.read_all(after=0, up_to=third + 1_000_000)) == 5

    def test_the_global_order_is_read_by_category(self, store: Store) -> None:
        streams = ["order-o1", "stock-w+order", "payment-order-1", "order-payment-1"]
        store.append([unit({}, *[(stream, stream) for stream in streams])])
        assert texts(store.read_all(after=0, category="order")) == ["order-o1", "order-payment-1"]
        assert texts(store.read_all(after=0, category="stock", limit=1)) == ["stock-w+order"]
        assert store.read_all(after=0, category="ord") == []

    def test_the_low_water_mark_is_the_last_event_when_nobody_appends(self, store: Store) -> None:
        assert store.low_water_mark() == 0
        store.append([unit({}, ("order-o1", "a"), ("order-o1", "b"))])
        assert store.low_water_mark() == store.head() == store.read_all(after=0)[-1].position

    def test_a_refused_unit_does_not_hold_the_low_water_mark_back(self, store: Store) -> None:
        store.append([unit({"order-o1": 9}, ("order-o1", "a"))])
        store.append([unit({}, ("order-o1", "b"))])
        assert texts(store.read_all(after=0, up_to=store.low_water_mark())) == ["b"]

    def test_events_are_the_same_by_stream_by_order_and_in_the_global_order(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "a"), ("order-o1", "b"))])
        assert list(store.read({"order-o1": 0})) == list(store.read_orders(["o1"])) == list(store.read_all(after=0))
        assert all(event.event.at == AT for event in store.read_all(after=0))
