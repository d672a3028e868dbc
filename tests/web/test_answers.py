"""Answers as bytes: lengths, bodies that are left out, and headers that would be more than a header."""

import logging

import pytest

from phonegoggles.answers import same_lines, write_answer

DATE = [b"date: today\r\n"]


def test_an_answer_is_written_in_one_piece_with_its_length() -> None:
    whole, stays = write_answer((200, [("X-Two", "ü")], b"abc"), date=DATE)
    assert whole == b"HTTP/1.1 200 OK\r\ndate: today\r\nx-two: \xfc\r\ncontent-length: 3\r\n\r\nabc"
    assert stays


def test_a_length_that_is_told_already_stays() -> None:
    whole, _ = write_answer((200, [("Content-Length", "3")], b"abc"), date=[], with_body=False)
    assert whole == b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_neither_body_nor_length(status: int) -> None:
    whole, _ = write_answer((status, [], b"abc"), date=[])
    assert whole.endswith(b"\r\n\r\n")
    assert b"content-length" not in whole


@pytest.mark.parametrize(
    ("headers", "keep_alive"), [([("Connection", "close")], True), ([], False), ([("Connection", "close")], False)]
)
def test_whoever_ends_a_connection_says_so_once(headers: list[tuple[str, str]], keep_alive: bool) -> None:
    whole, stays = write_answer((200, headers, b""), date=[], keep_alive=keep_alive)
    assert whole.count(b"connection: close\r\n") == 1
    assert not stays


@pytest.mark.parametrize("value", ["a\r\nset-cookie: b", "a\nb", "a\rb", "a\0b", "\u20ac"])
def test_a_header_that_would_be_more_than_one_is_never_sent(value: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        whole, _ = write_answer((200, [("X-Odd", value)], b"secret"), date=[])
    assert whole == b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"
    assert same_lines((("X-Odd", value),)) is None
    assert "X-Odd" in caplog.text
    assert value not in caplog.text
