"""What an operator does about messages that could not be read; and two operators at once."""

import threading
from collections.abc import Callable

import pytest

from domain.errors import BrokerUnavailable, CommandRefused
from domain.review import Letters, LetterState, letter_stream
from infrastructure.postgres.dead_letters import PostgresDeadLetters
from tests.workers.faulty import FaultyPostgres
from tests.workers.review.conftest import ADA, Post, make_review
from tests.workers.shop import PostgresShop, Shop, WatchedWorld
from workers.review import Outcome, Review
from workers.review.plan import Person

Keep = Callable[..., int]


def decisions(review: Review, letter_id: int) -> list[tuple[str, str]]:
    found = review.store.read({letter_stream(letter_id): 0})
    return [(type(recorded.event).__name__, recorded.event.by) for recorded in found]


def test_a_message_goes_back_to_the_queue_that_it_came_from(review: Review, keep: Keep, post: Post) -> None:
    headers = {"content-type": "application/json", "reply-to": "ow_reply_x", "correlation-id": "c"}
    letter = keep(b'{"a":1}', message_id="m1", headers=headers)
    assert review.retry([letter], ADA) == [Outcome(letter=letter, done=True, words="sent to ow_orders")]
    [sent] = post.sent
    assert (sent.queue, sent.body, sent.content_type) == ("ow_orders", b'{"a":1}', "application/json")
    assert (sent.message_id, sent.reply_to, sent.correlation_id) == ("m1", "ow_reply_x", "c")
    assert decisions(review, letter) == [("MessageRetried", "ada")]


def test_what_the_broker_does_not_take_stays_open(review: Review, keep: Keep, post: Post) -> None:
    letter = keep()
    post.away = True
    with pytest.raises(BrokerUnavailable):
        review.retry([letter], ADA)
    assert review.letter(letter).state is LetterState.OPEN
    assert decisions(review, letter) == []


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"origin": "ow_dead"}, "no queue of ours"),
        ({"origin": "mysql"}, "no queue of ours"),
        ({"size": 70_000}, "only 7 of its 70000 bytes were kept"),
    ],
)
def test_what_cannot_be_sent_again_is_told_and_stays(
    review: Review, keep: Keep, post: Post, changes: dict[str, object], why: str
) -> None:
    letter = keep(**changes)
    [outcome] = review.retry([letter], ADA)
    assert not outcome.done
    assert why in outcome.words
    assert (post.sent, review.letter(letter).state) == ([], LetterState.OPEN)


def test_an_edited_message_is_a_copy_that_is_linked_to_the_original(review: Review, keep: Keep, post: Post) -> None:
    letter = keep(b"\x80pickle", headers={"ow-content-type": "'application/pickle'"})
    copy = review.edit(letter, b'{"a":2}', ADA)
    original, edited = review.letter(letter), review.letter(copy)
    assert (original.state, original.body) == (LetterState.EDITED, b"\x80pickle")
    assert (edited.state, edited.body, edited.original_of) == (LetterState.OPEN, b'{"a":2}', letter)
    assert decisions(review, letter) == [("MessageEdited", "ada")]
    assert review.retry([copy], ADA)[0].done
    assert (post.sent[0].body, post.sent[0].content_type) == (b'{"a":2}', "application/json")
    with pytest.raises(CommandRefused, match="not open any more: edited by ada"):
        review.edit(letter, b'{"a":3}', ADA)


def test_an_edit_that_would_be_refused_again_changes_nothing(review: Review, keep: Keep) -> None:
    letter = keep(b"[")
    with pytest.raises(CommandRefused, match="is no object"):
        review.edit(letter, b"[]", ADA)
    assert review.letter(letter).state is LetterState.OPEN
    assert decisions(review, letter) == []


def test_reading_again_says_whether_a_message_would_be_taken_now(review: Review, keep: Keep) -> None:
    good, bad = review.foresee([keep(b"{}"), keep(b"[")])
    assert (good.would_run, good.outlook) == (True, "would be accepted")
    assert (bad.would_run, bad.outlook) == (False, "would be refused again: is no object")


def test_a_discarded_message_can_be_restored_and_sent(review: Review, keep: Keep, post: Post) -> None:
    letter = keep()
    for decide in (review.discard, review.restore, review.retry):
        assert decide([letter], ADA)[0].done
    names = [name for name, _ in decisions(review, letter)]
    assert names == ["MessageDiscarded", "MessageRestored", "MessageRetried"]
    assert len(post.sent) == 1


def test_of_two_operators_one_decides_and_the_other_is_told(
    shop: PostgresShop, review: Review, letters: Letters, keep: Keep, database: str
) -> None:
    ids = [keep(b'{"n":%d}' % number) for number in range(500)]
    other = Shop(FaultyPostgres(database), WatchedWorld())
    posts = Post(), Post()
    reviews = make_review(shop, letters, posts[0]), make_review(other, PostgresDeadLetters(other.store), posts[1])
    outcomes: dict[str, list[Outcome]] = {"ada": [], "bob": []}
    start = threading.Barrier(2)

    def work(who: str, mine: Review, order: list[int]) -> None:
        start.wait(10)
        for at in range(0, 500, 20):
            decide = mine.retry if (at // 20) % 2 else mine.discard
            outcomes[who] += decide(order[at : at + 20], Person(by=who, reason="race"))

    threads = [
        threading.Thread(target=work, args=("ada", reviews[0], ids)),
        threading.Thread(target=work, args=("bob", reviews[1], ids)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    other.close()
    other.store.close()
    won = {who: {one.letter for one in some if one.done} for who, some in outcomes.items()}
    assert won["ada"] | won["bob"] == set(ids)
    assert not won["ada"] & won["bob"]
    told = [one.words for some in outcomes.values() for one in some if not one.done]
    assert all("by ada" in words or "by bob" in words for words in told)
    for who, some in won.items():
        assert all(decisions(review, letter)[0][1] == who for letter in some)
    sent = [message.body for post in posts for message in post.sent]
    assert len(sent) == len(set(sent)) == sum(letter.state is LetterState.RETRIED for letter in letters.get(ids))
