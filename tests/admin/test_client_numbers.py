"""The numbers of clients in the admin: whoever gets a number gets its calls, also the earlier ones."""

from typing import Any

import pytest
from django.utils import timezone

from calls.admin import clients as screen
from calls.models import Call, Client, ClientNumber
from calls.operations.clients import set_numbers
from calls.operations.record import record
from tests.admin.pages import (
    make_staff,
    page_of,
    text_of,
    visit,
)
from tests.admin.rows import (
    ADA,
    BOB,
    client_of,
    make_call,
    make_client,
    save_client,
)
from tests.build import build_event

pytestmark = pytest.mark.django_db


# -- Saving --------------------------------------------------------------------------------------


def test_a_new_client_gets_its_earlier_calls():
    make_call("earlier", ADA)
    make_call("other", BOB)
    operator = visit(make_staff(group="Operators"))
    assert save_client(operator, None, ADA, "", company="Engines").status_code == 302
    assert Client.objects.get().phone_numbers == [ADA]
    assert (client_of("earlier"), client_of("other")) == ("Ada", None)


def test_numbers_come_and_go_and_their_calls_with_them():
    make_call("ada", ADA)
    make_call("bob", BOB)
    client = make_client(ADA)
    assert client_of("ada") == "Ada"
    assert save_client(visit(), client, ADA, BOB, remove=(ADA,)).status_code == 302
    assert Client.objects.get().phone_numbers == [BOB]
    assert (client_of("ada"), client_of("bob")) == (None, "Ada")
    assert save_client(visit(), client, ADA).status_code == 302
    assert (client_of("ada"), client_of("bob")) == ("Ada", None)


def test_saving_numbers_goes_through_the_operation(monkeypatch: pytest.MonkeyPatch):
    stored: list[set[str]] = []
    monkeypatch.setattr(screen, "set_numbers", lambda client, numbers, at: stored.append(set(numbers)))
    client = make_client(ADA)
    save_client(visit(), client, ADA, BOB)
    assert stored == [{ADA, BOB}]
    save_client(visit(), client, name="Renamed")
    assert len(stored) == 1


def test_the_log_says_which_numbers_came_and_went():
    client = make_client(ADA)
    browser = visit()
    save_client(browser, client, ADA, BOB, remove=(ADA,), company="Engines")
    text = text_of(browser.get(page_of(client, part="history")).content.decode())
    assert f"Added client number “{BOB}”. Deleted client number “{ADA}”." in text


def test_two_rows_may_change_places_and_a_removed_number_may_be_added_again():
    client = make_client(ADA, BOB)
    assert save_client(visit(), client, BOB, ADA).status_code == 302
    assert Client.objects.get().phone_numbers == [ADA, BOB]
    assert save_client(visit(), client, ADA, BOB, ADA, remove=()).status_code == 200
    rows = list(client.numbers.all())
    form = {"name": "Ada", "numbers-TOTAL_FORMS": 3, "numbers-INITIAL_FORMS": 2, "numbers-2-number": ADA}
    for place, row in enumerate(rows):
        form |= {f"numbers-{place}-number": row.number, f"numbers-{place}-id": row.pk}
    assert visit().post(page_of(client), form | {"numbers-0-DELETE": "on"}).status_code == 302
    assert Client.objects.get().phone_numbers == [ADA, BOB]


def test_a_number_that_another_page_added_meanwhile_stays():
    client = make_client(ADA)
    row = client.numbers.get()
    set_numbers(client, [ADA, BOB], at=timezone.now())
    form = {
        "name": "Ada",
        "numbers-TOTAL_FORMS": 2,
        "numbers-INITIAL_FORMS": 1,
        "numbers-0-id": row.pk,
        "numbers-0-number": ADA,
        "numbers-1-number": "+12025550103",
    }
    assert visit().post(page_of(client), form).status_code == 302
    assert Client.objects.get().phone_numbers == [ADA, BOB, "+12025550103"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("+1 (202) 555-0101", "Did you mean +12025550101?"),
        ("0012025550101", "Did you mean +12025550101?"),
        ("anonymous", "Must be a number in E.164 form"),
        ("+" + "1" * 40, "Must be a number in E.164 form"),
        ("+١٢٠٢٥٥٥٠١٠١", "Must be a number in E.164 form"),
    ],
)
def test_a_badly_written_number_is_refused_with_the_right_spelling(text: str, hint: str):
    response = save_client(visit(), None, text)
    assert response.status_code == 200
    assert hint in text_of(response.content.decode())
    assert not Client.objects.exists()


def test_a_number_of_another_client_is_an_error_that_names_the_owner():
    make_call("call-1", ADA)
    make_client(ADA, name="Ada <b>Lovelace</b>")
    response = save_client(visit(), None, ADA, name="Bob")
    html = response.content.decode()
    assert "Ada &lt;b&gt;Lovelace&lt;/b&gt; has this number already." in html
    assert "<b>Lovelace" not in html
    assert Client.objects.count() == 1
    assert client_of("call-1") == "Ada <b>Lovelace</b>"


def test_a_number_that_is_taken_at_this_very_moment_is_the_same_error(monkeypatch: pytest.MonkeyPatch):
    others: list[Client] = []
    real = screen.NumberFormSet.store

    def overtaken(self: Any) -> None:
        if not others:
            others.append(make_client(ADA, name="Quick"))
        real(self)

    # The rollback of the first attempt takes the quicker client along here, so it is made anew.
    class Again(screen.NumberFormSet):
        def clean(self) -> None:
            if others and not Client.objects.filter(name="Quick").exists():
                make_client(ADA, name="Quick")
            super().clean()

    monkeypatch.setattr(screen.NumberFormSet, "store", overtaken)
    monkeypatch.setattr(screen.NumberInline, "formset", Again)
    response = save_client(visit(), None, ADA, name="Slow")
    assert response.status_code == 200
    assert "Quick has this number already." in response.content.decode()
    assert [client.name for client in Client.objects.all()] == ["Quick"]


def test_a_deleted_client_leaves_its_calls():
    make_call("call-1", ADA)
    client = make_client(ADA)
    operator = visit(make_staff(group="Operators"))
    assert operator.get(page_of(client, part="delete")).status_code == 200
    assert operator.post(page_of(client, part="delete"), {"post": "yes"}).status_code == 302
    assert client_of("call-1") is None
    assert not ClientNumber.objects.exists()


def test_calls_of_a_deleted_client_go_to_whoever_has_the_other_number():
    record([build_event(call_id="both", calling_number=ADA, called_number=BOB)])
    ada, bob = make_client(ADA), make_client(BOB, name="Bob")
    owner = Call.objects.get().client
    assert owner is not None
    visit().post(page_of(owner, part="delete"), {"post": "yes"})
    (left,) = {ada.pk, bob.pk} - {owner.pk}
    assert Call.objects.get().client_id == left
