"""By what the list of calls can be narrowed."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import F, Q
from django.db.models.functions import Substr
from django.db.models.lookups import GreaterThan, In
from django.http import HttpRequest
from django.utils import timezone

from calls.admin.paging import KeysetFilter
from calls.domain.countries import Country, countries
from calls.domain.vocabulary import OUTCOMES, Anomaly, CallStatus, Direction
from calls.models import Call, Client

FIRST_YEAR, LAST_YEAR = 1970, 2099
# A country with no more calls than these (each way) is found by its numbers, any other by looking through calls.
CALLS_OF_A_RARE_COUNTRY = 2_000


class PeriodFilter(KeysetFilter):
    """When the call started: a named period, or any days from … to, both included."""

    title = "start"
    parameter_name = "period"
    template = "admin/calls/period_filter.html"
    fits_every_index = True
    # The time that the days are about; the columns that order the list begin with it.
    column = "started_at"
    # The days, counted from today, on which a period begins and before which it ends.
    periods = {
        "today": ("Today", 0, 1),
        "yesterday": ("Yesterday", -1, 0),
        "7days": ("Last 7 days", -6, 1),
        "30days": ("Last 30 days", -29, 1),
    }

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        self.days = {name: params.pop(name, [""])[-1] for name in ("from", "to")}
        super().__init__(request, params, model, model_admin)

    @classmethod
    def parameters(cls) -> Sequence[str]:
        """Return the filter's parameters in the query string."""
        return ["period", "from", "to"]

    def expected_parameters(self) -> list[str | None]:
        """Return the filter's parameters, as Django asks for them."""
        return [*self.parameters()]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the named periods."""
        return [(name, title) for name, (title, _, _) in self.periods.items()]

    def conditions(self) -> tuple[Q, Q]:
        """Return the range of the time, half-open."""
        condition = Q()
        begin, end = self._bounds()
        if begin is not None:
            condition &= Q(**{f"{self.column}__gte": begin})
        if end is not None:
            condition &= Q(**{f"{self.column}__lt": end})
        return condition, Q()

    def _bounds(self) -> tuple[datetime | None, datetime | None]:
        if name := self.value():
            if name not in self.periods:
                raise IncorrectLookupParameters(f"There is no period {name!r}.")
            _, first, last = self.periods[name]
            today = timezone.localdate()
            return midnight(today + timedelta(days=first)), midnight(today + timedelta(days=last))
        begin, end = (read_day(self.days[name]) for name in ("from", "to"))
        return (
            None if begin is None else midnight(begin),
            None if end is None else midnight(end + timedelta(days=1)),
        )

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the named periods as links, and keep what the form of free days has to carry along."""
        self.others = others_than(self.parameters(), changelist)
        yield {
            "selected": not self.value() and not any(self.days.values()),
            "query_string": changelist.get_query_string(remove=["period", "from", "to"]),
            "display": "All",
        }
        for name, title in self.lookup_choices:
            yield {
                "selected": self.value() == name,
                "query_string": changelist.get_query_string({"period": name, "from": None, "to": None}),
                "display": title,
            }


def midnight(day: date) -> datetime:
    """Return the first instant of a day."""
    return timezone.make_aware(datetime.combine(day, time()))


def read_day(text: str) -> date | None:
    """Return the day that a text names, None for an empty one; raise IncorrectLookupParameters."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise IncorrectLookupParameters(f"{text!r} is no day.") from error
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise IncorrectLookupParameters(f"The year of {text!r} is too far away.")
    return day


class WordFilter(KeysetFilter):
    """A filter by one word of a closed list."""

    words: Sequence[tuple[str, str]] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """Return the words and how they are shown."""
        return self.words

    def conditions(self) -> tuple[Q, Q]:
        """Return the condition of the chosen word; none without one."""
        word = self.value()
        if not word:
            return Q(), Q()
        if word not in dict(self.words):
            raise IncorrectLookupParameters(f"{word!r} is not among the values of {self.title}.")
        return self.condition(word)

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return what an index serves of a word, and what has to be checked row by row."""
        raise NotImplementedError


class StatusFilter(WordFilter):
    """The call's status."""

    title = "status"
    parameter_name = "status"
    words = [(word.value, word.value.replace("_", " ")) for word in CallStatus]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the status, together with what tells the database which of its partial indexes has the calls.

        The index of calls in progress does not know their status.
        """
        if word in OUTCOMES:
            return Q(outcome=word), Q()
        return Q(ended_at__isnull=True), Q(status=word)


class ProgressFilter(WordFilter):
    """Whether the call is going on."""

    title = "progress"
    parameter_name = "in_progress"
    words = [("yes", "in progress"), ("no", "over")]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the calls without an end, which an index holds; those with one are nearly all calls."""
        going_on = Q(ended_at__isnull=True)
        return (going_on, Q()) if word == "yes" else (Q(), ~going_on)


class DirectionFilter(WordFilter):
    """Which way the call went; no index serves it."""

    title = "direction"
    parameter_name = "direction"
    words = [(word.value, word.value) for word in Direction]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the direction, as something to be checked row by row."""
        return Q(), Q(direction=word)


class AnomalyFilter(WordFilter):
    """What is odd about the call: anything, nothing, or one anomaly."""

    title = "anomaly"
    parameter_name = "anomaly"
    words = [
        ("any", "anything odd"),
        ("none", "nothing odd"),
        *((anomaly.code, anomaly.code.replace("_", " ")) for anomaly in Anomaly),
    ]

    def condition(self, word: str) -> tuple[Q, Q]:
        """Return the odd calls, which an index holds, and the one bit to check; few calls are odd."""
        odd = ~Q(anomalies=0)
        if word == "none":
            return Q(), Q(anomalies=0)
        if word == "any":
            return odd, Q()
        return odd, Q(GreaterThan(F("anomalies").bitand(Anomaly[word.upper()].value), 0))


class ClientFilter(KeysetFilter):
    """Whose calls. A client's page links here; clients are too many for a list to choose from."""

    title = "client"
    parameter_name = "client"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the client that was chosen, if any."""
        text = self.value()
        if not text:
            return []
        known = re.fullmatch("[0-9]{1,18}", text) and Client.objects.filter(pk=int(text)).first()
        if not known:
            raise IncorrectLookupParameters(f"There is no client {text!r}.")
        return [(text, known.name)]

    def conditions(self) -> tuple[Q, Q]:
        """Return the client's calls, which an index holds."""
        text = self.value()
        return (Q(client=int(text)), Q()) if text else (Q(), Q())


class FormFilter(KeysetFilter):
    """A filter by what is typed or chosen in a small form, which carries the other filters along."""

    names: Sequence[str] = ()

    def __init__(self, request: HttpRequest, params: dict[str, list[str]], model: Any, model_admin: Any) -> None:
        self.given = {name: params.pop(name, [""])[-1].strip() for name in self.names}
        self.parameter_name = self.names[0]
        super().__init__(request, params, model, model_admin)
        if given := {name: value for name, value in self.given.items() if value}:
            self.used_parameters.update(given)

    @classmethod
    def parameters(cls) -> Sequence[str]:
        """Return the filter's parameters in the query string."""
        return cls.names

    def expected_parameters(self) -> list[str | None]:
        """Return the filter's parameters, as Django asks for them."""
        return [*self.names]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return something, or Django would leave the filter out."""
        return [("form", "form")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        """Yield the way out, if anything is chosen, and keep what the form has to carry along."""
        self.others = others_than(self.names, changelist)
        if any(self.given.values()):
            yield {
                "selected": False,
                "query_string": changelist.get_query_string(remove=[*self.names]),
                "display": "All",
            }


class DurationFilter(FormFilter):
    """How long a completed call took, from … to … seconds, both included; no index serves it."""

    title = "duration"
    names = ("min_duration", "max_duration")
    template = "admin/calls/duration_filter.html"

    def conditions(self) -> tuple[Q, Q]:
        """Return the bounds, as something to be checked row by row."""
        condition = Q()
        for name, side in zip(self.names, ("gte", "lte"), strict=True):
            text = self.given[name]
            if text and not re.fullmatch("[0-9]{1,10}", text):
                raise IncorrectLookupParameters(f"{text!r} is no number of seconds.")
            if text:
                condition &= Q(**{f"duration__{side}": int(text)})
        return Q(), condition


class CountryFilter(FormFilter):
    """The other party's country, by how its number begins; of a call of unknown direction, either party's."""

    title = "country"
    names = ("country",)
    template = "admin/calls/country_filter.html"

    @property
    def countries(self) -> Iterable[Country]:
        """All that can be chosen."""
        return countries().values()

    def conditions(self) -> tuple[Q, Q]:
        """Return the country's calls: by their ids if they are few, else as something to be checked row by row."""
        key = self.given["country"]
        if not key:
            return Q(), Q()
        if key not in countries():
            raise IncorrectLookupParameters(f"There is no country {key!r}.")
        calling, called = (_begins_as(column, countries()[key]) for column in ("calling_number", "called_number"))
        remote = (
            Q(direction=Direction.INBOUND) & calling
            | Q(direction=Direction.OUTBOUND) & called
            | Q(direction=Direction.UNKNOWN) & (calling | called)
        )
        ids: list[Any] = []
        for side in (calling, called):
            # The index of the numbers begins with them: a range of it holds the country's calls.
            found = Call.objects.filter(side).order_by().values_list("pk", flat=True)[: CALLS_OF_A_RARE_COUNTRY + 1]
            ids += found
            if len(found) > CALLS_OF_A_RARE_COUNTRY:
                return Q(), remote
        return Q(pk__in=ids) & remote, Q()


def _begins_as(column: str, country: Country) -> Q:
    """Return the condition that a number is of a country."""
    code = country.calling_code
    condition = Q(**{f"{column}__gte": code, f"{column}__lt": code[:-1] + chr(ord(code[-1]) + 1)})
    if country.areas:
        width = len(country.areas[0])
        condition &= Q(In(Substr(column, 1, width), list(country.areas)))
    return condition


def others_than(names: Sequence[str], changelist: Any) -> list[tuple[str, str]]:
    """Return the parameters of a list that a filter's form has to carry along."""
    return [(name, value) for name, values in changelist.filter_params.items() if name not in names for value in values]
