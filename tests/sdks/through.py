"""What both SDKs must be able to do through the proxy: the checks that they share, and what these stand on.

`run.py` says by environment variables where everything is. An SDK's own module makes an [`Sdk`] of it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import unittest
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from typing import Any, ClassVar

import requests

PROXY = os.environ["CHECK_PROXY"]
UPSTREAM = os.environ["CHECK_UPSTREAM"]
#: Gives tokens that have already expired, of the same issuer.
EXPIRED = os.environ["CHECK_EXPIRED"]
REDIS = os.environ["CHECK_REDIS"]

#: What the profile keeps of a seller.
SELLER = ("id", "name", "customerDisplayId", "isActive")
#: An id that nothing has.
NOBODY = 2_000_000_000

Json = dict[str, Any]


class Wire:
    """Sees every exchange of the SDK and lets none go anywhere but to the proxy and the stand-in."""

    def __init__(self) -> None:
        self.seen: list[requests.Response] = []
        send = requests.Session.send

        def watched(session: requests.Session, request: requests.PreparedRequest, **how: Any) -> requests.Response:
            if not (request.url or "").startswith((f"{PROXY}/", f"{UPSTREAM}/", f"{EXPIRED}/")):
                raise AssertionError(f"the SDK would have called {request.url}")
            answer = send(session, request, **how)
            self.seen.append(answer)
            return answer

        requests.Session.send = watched  # type: ignore[method-assign]

    @property
    def served(self) -> str:
        """`hit` or, for instance, `fwd=miss`: how the last answer came about, in the proxy's own words."""
        status = self.seen[-1].headers.get("Cache-Status", "; none")
        return status.split(";")[1].strip()


WIRE = Wire()


class Upstream:
    """The stand-in, asked without the proxy and without an SDK."""

    def log_in(self, user: str, at: str = UPSTREAM) -> str:
        form = {"grant_type": "password", "username": user, "password": user, "client_id": "checks"}
        return self._ask("POST", f"{at}/connect/token", body=urllib.parse.urlencode(form))["access_token"]

    def get(self, target: str, token: str) -> Json:
        return self._ask("GET", f"{UPSTREAM}/api/{target}", token=token)

    def all(self, target: str, token: str) -> list[Json]:
        """All items of a list."""
        items: list[Json] = []
        sign = "&" if "?" in target else "?"
        for number in range(1, 1000):
            page = self.get(f"{target}{sign}PageSize=500&PageNumber={number}", token)
            items += page["items"]
            if not page["hasNextPage"]:
                break
        return items

    @contextmanager
    def calls(self) -> Iterator[list[str]]:
        """The calls that come in meanwhile, such as `GET /api/Seller?PageSize=1`; complete at the end."""
        self._ask("DELETE", f"{UPSTREAM}/_fake/calls")
        calls: list[str] = []
        yield calls
        calls += [f"{call['method']} {call['target']}" for call in self._ask("GET", f"{UPSTREAM}/_fake/calls")]

    @staticmethod
    def _ask(method: str, url: str, token: str | None = None, body: str | None = None) -> Any:
        request = urllib.request.Request(url, method=method, data=body.encode() if body is not None else None)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        # No proxy of the machine's.
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None


def redis_keys(pattern: str) -> list[str]:
    """The keys in the Redis of the proxy."""
    with socket.create_connection(("127.0.0.1", int(REDIS)), timeout=10) as line:
        line.sendall(f"KEYS {pattern}\r\n".encode())
        lines = line.makefile("r", encoding="utf-8", newline="\r\n")
        count = int(lines.readline()[1:])
        # Of each key its length, then itself.
        return [lines.readline().strip() for _ in range(2 * count)][1::2]


class Sdk(ABC):
    """One SDK by the same names as the other, logged in as `demo` through the proxy."""

    #: What it raises for an answer that is not well; has `status_code`.
    refusal: type[Exception]
    #: What it raises where it cannot log in.
    no_login: type[Exception]

    @abstractmethod
    def page_of_sellers(self, number: int, size: int, **filters: Any) -> Any: ...

    @abstractmethod
    def page_of_catalogs(self, sellers: int | list[int], number: int, size: int) -> Any: ...

    @abstractmethod
    def seller(self, seller: int) -> Any: ...

    @abstractmethod
    def catalog(self, catalog: int) -> Any: ...

    @abstractmethod
    def lot(self, lot: int) -> Any: ...

    @abstractmethod
    def add_seller(self, fields: Json) -> Any: ...

    @abstractmethod
    def change_seller(self, seller: int, fields: Json) -> Any: ...

    @abstractmethod
    def delete_seller(self, seller: int) -> None: ...

    @abstractmethod
    def add_catalog(self, fields: Json) -> Any: ...

    @abstractmethod
    def change_catalog(self, catalog: int, fields: Json) -> Any: ...

    @abstractmethod
    def delete_catalog(self, catalog: int) -> None: ...

    @abstractmethod
    def sale(self, seller: int, title: str) -> Json:
        """The request for a catalog, as this SDK's generation has it."""

    @abstractmethod
    def add_lot(self, catalog: int, number: str) -> Any: ...

    @abstractmethod
    def delete_lot(self, lot: int) -> None: ...

    @abstractmethod
    def kept_of_catalog(self, catalog: Json) -> Json:
        """What the profile keeps of a catalog in the API's own answer."""

    @abstractmethod
    def log_in(self, user: str, password: str, at: str) -> str:
        """Logs somebody in with the SDK's own code, in a session of its own; gives the token."""

    @abstractmethod
    def refresh(self) -> None:
        """Lets the session's token be too old, then does what makes the SDK get another by itself."""

    @abstractmethod
    def directly(self) -> AbstractContextManager[None]:
        """Meanwhile the SDK asks the stand-in, without the proxy."""

    @abstractmethod
    def token(self) -> str: ...

    @abstractmethod
    def put_token(self, token: str) -> None: ...

    @contextmanager
    def with_token(self, token: str) -> Iterator[None]:
        before = self.token()
        self.put_token(token)
        try:
            yield
        finally:
            self.put_token(before)

    def sellers(self, size: int = 500, **filters: Any) -> list[Any]:
        """All sellers, page by page until the SDK says there is no more."""
        return [item for page in pages(lambda n: self.page_of_sellers(n, size, **filters)) for item in page.items]

    def catalogs(self, seller: int, size: int = 500) -> list[Any]:
        return [item for page in pages(lambda n: self.page_of_catalogs(seller, n, size)) for item in page.items]


def pages(ask: Any) -> Iterator[Any]:
    """Pages until one says that it is the last."""
    number, more = 0, True
    while more:
        number += 1
        page = ask(number)
        yield page
        more = page.has_next_page


def outcome(ask: Callable[[], Any]) -> Any:
    """What comes of it: the value or the error."""
    try:
        return ask()
    except Exception as error:  # whichever the SDK raises
        return type(error), str(error)


def picked(names: tuple[str, ...], item: Json) -> Json:
    return {name: item[name] for name in names}


def days_from_now(days: int) -> datetime:
    return datetime.now().replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=days)


class Check(unittest.TestCase):
    """A test's name is a sentence. All tests share one session; each makes what it changes."""

    sdk: ClassVar[Sdk]
    upstream: ClassVar[Upstream] = Upstream()
    known_seller: ClassVar[int | None] = None
    maxDiff = 4000

    def assert_hit(self) -> None:
        """The last answer came from the cache or, while Redis is down, at least from a fill."""
        self.assertEqual(WIRE.served, "hit" if REDIS else "fwd=miss")

    def assert_same(self, items: list[Any], raw: list[Json]) -> None:
        """The SDK's models are those that it would make of these items."""
        self.assertGreater(len(items), 0)
        self.assertEqual(items, [type(items[0]).model_validate(item) for item in raw])

    def assert_page(self, page: Any, own: Json) -> None:
        """The numbers of a page are those of the API's own."""
        ours = (page.page_number, page.total_pages, page.total_items, page.has_previous_page, page.has_next_page)
        names = ("pageNumber", "totalPages", "totalItems", "hasPreviousPage", "hasNextPage")
        self.assertEqual(ours, tuple(own[name] for name in names))

    def assert_passed_on(self, *asks: Callable[[], Any]) -> None:
        """What the SDK makes of these requests, be it an error, is what it makes of them without the proxy."""
        for ask in asks:
            through = outcome(ask)
            self.assertEqual(WIRE.served, "fwd=bypass")
            with self.sdk.directly():
                self.assertEqual(through, outcome(ask))
                self.assertEqual(WIRE.served, "none")

    @contextmanager
    def assert_refused(self, status: int) -> Iterator[None]:
        """The SDK raises its own error, with this status."""
        with self.assertRaises(self.sdk.refusal) as raised:
            yield
        self.assertEqual(getattr(raised.exception, "status_code", None), status)

    def seller_with_catalogs(self) -> int:
        """One of those that no test changes."""
        if Check.known_seller is None:
            Check.known_seller = next(item["id"] for item in self.own_sellers() if len(item["catalogs"]) > 10)
        return Check.known_seller

    def own_sellers(self) -> list[Json]:
        return self.upstream.all("Seller", self.sdk.token())

    def own_catalogs(self, seller: int) -> list[Json]:
        return self.upstream.all(f"Catalog?SellerIds={seller}", self.sdk.token())

    def add_seller(self, name: str) -> Any:
        return self.sdk.add_seller({"name": name, "customerDisplayId": 770_001, "isActive": True})

    def add_catalog(self, seller: int, title: str) -> Any:
        return self.sdk.add_catalog(self.sdk.sale(seller, title))


class Reads(Check):
    """Lists and single objects."""

    def test_all_sellers_page_by_page_are_the_sellers_of_the_api(self) -> None:
        raw = [picked(SELLER, seller) for seller in self.own_sellers()]
        for size in (10, 25, 500):
            with self.subTest(page_size=size):
                self.assert_same(self.sdk.sellers(size), raw)
                self.assert_hit()

    def test_every_page_of_sellers_says_what_the_page_of_the_api_says(self) -> None:
        for size in (25, 500):
            for page in pages(lambda n, size=size: self.sdk.page_of_sellers(n, size)):
                own = self.upstream.get(f"Seller?PageSize={size}&PageNumber={page.page_number}", self.sdk.token())
                self.assert_page(page, own)

    def test_a_page_past_the_end_is_empty(self) -> None:
        page = self.sdk.page_of_sellers(900, 25)
        own = self.upstream.get("Seller?PageSize=25&PageNumber=900", self.sdk.token())
        self.assertEqual(page.items, own["items"])
        self.assert_page(page, own)

    def test_all_catalogs_of_a_seller_are_those_of_the_api(self) -> None:
        some = [self.seller_with_catalogs(), *(seller["id"] for seller in self.own_sellers()[:3])]
        for seller in some:
            raw = [self.sdk.kept_of_catalog(catalog) for catalog in self.own_catalogs(seller)]
            for size in (10, 25, 500):
                with self.subTest(seller=seller, page_size=size):
                    items = self.sdk.catalogs(seller, size)
                    self.assertEqual(len(items), len(raw))
                    if raw:
                        self.assert_same(items, raw)
        self.assert_hit()

    def test_past_catalogs_are_there_too(self) -> None:
        self.assertTrue(any(item.end_date < datetime.now() for item in self.sdk.catalogs(self.seller_with_catalogs())))

    def test_catalogs_of_two_sellers_at_once_come_from_the_api(self) -> None:
        one, other = (seller["id"] for seller in self.own_sellers()[:2])
        own = self.upstream.all(f"Catalog?SellerIds={one}&SellerIds={other}", self.sdk.token())
        page = self.sdk.page_of_catalogs([one, other], 1, 500)
        self.assertEqual([item.id for item in page.items], [item["id"] for item in own])
        self.assert_passed_on(lambda: self.sdk.page_of_catalogs([one, other], 2, 3))

    def test_filtered_sellers_come_from_the_api(self) -> None:
        name = self.own_sellers()[4]["name"]
        self.assert_passed_on(
            lambda: self.sdk.page_of_sellers(1, 10, **self.filters(name=name)),
            lambda: self.sdk.page_of_sellers(2, 25, **self.filters(is_active=True)),
        )

    def filters(self, **filters: Any) -> Mapping[str, Any]:
        """Filters by their names in the SDK."""
        return filters

    def test_a_seller_got_twice_is_the_one_of_the_api_and_the_second_time_a_hit(self) -> None:
        own = self.own_sellers()[7]
        for _ in range(2):
            self.assert_same([self.sdk.seller(own["id"])], [picked(SELLER, own)])
        self.assert_hit()

    def test_a_catalog_comes_whole_with_its_sellers_and_lots(self) -> None:
        own = next(catalog for catalog in self.own_catalogs(self.seller_with_catalogs()) if catalog["lots"])
        catalog = self.sdk.catalog(own["id"])
        self.assert_same([catalog], [self.upstream.get(f"Catalog/{own['id']}", self.sdk.token())])
        self.assertEqual([lot.id for lot in catalog.lots], [lot["id"] for lot in own["lots"]])

    def test_catalogs_and_lots_one_by_one_are_what_they_are_without_the_proxy(self) -> None:
        for own in self.own_catalogs(self.seller_with_catalogs())[:3]:
            lots = [lot["id"] for lot in own["lots"][:3]]
            self.assert_passed_on(lambda own=own: self.sdk.catalog(own["id"]))
            self.assert_passed_on(*(lambda lot=lot: self.sdk.lot(lot) for lot in lots))

    def test_what_is_not_there_raises_the_error_of_the_sdk_with_404(self) -> None:
        for ask in (self.sdk.seller, self.sdk.catalog, self.sdk.lot):
            with self.subTest(ask.__name__), self.assert_refused(404):
                ask(NOBODY)


class Warm(Check):
    """What only a cache can do; left out while Redis is down."""

    def test_a_warm_list_makes_no_call_however_it_is_paged(self) -> None:
        seller = self.seller_with_catalogs()
        self.sdk.sellers(), self.sdk.catalogs(seller), self.sdk.seller(seller)
        with self.upstream.calls() as calls:
            for size in (10, 25, 500):
                self.sdk.sellers(size), self.sdk.catalogs(seller, size)
            self.sdk.seller(seller)
        self.assertEqual(calls, [])

    def test_another_user_costs_one_question_and_then_nothing(self) -> None:
        self.sdk.sellers()
        with self.sdk.with_token(self.upstream.log_in("second")):
            with self.upstream.calls() as calls:
                self.sdk.sellers(25)
            self.assertEqual(len(calls), 1, calls)
            self.assertIn("PageSize=1", calls[0])
            self.assert_hit()

    def test_logging_in_throws_nothing_out(self) -> None:
        self.sdk.sellers()
        self.upstream.log_in("demo", at=PROXY)
        self.sdk.page_of_sellers(1, 10)
        self.assert_hit()

    def test_a_lot_written_throws_no_list_out(self) -> None:
        seller = self.seller_with_catalogs()
        catalog = self.sdk.catalogs(seller)[0]
        self.sdk.sellers()
        lot = self.sdk.add_lot(catalog.id, "907")
        self.assertIn(lot.id, [known.id for known in self.sdk.catalog(catalog.id).lots])
        self.sdk.delete_lot(lot.id)
        self.sdk.page_of_sellers(1, 10)
        self.assert_hit()
        self.sdk.page_of_catalogs(seller, 1, 10)
        self.assert_hit()

    def test_the_lists_lie_in_redis(self) -> None:
        seller = self.seller_with_catalogs()
        self.sdk.sellers(), self.sdk.catalogs(seller)
        by = time.monotonic() + 10
        wanted = {"cat_sellers_all", f"cat_catalogs_seller_{seller}"}
        # The answer does not wait for Redis, so this does.
        while not (there := wanted <= set(redis_keys("cat_*"))) and time.monotonic() < by:
            time.sleep(0.01)
        self.assertTrue(there, redis_keys("cat_*"))


class Writes(Check):
    """What the SDK writes, it reads: at once, although all lists were warm."""

    def warm(self, seller: int) -> None:
        """Has everything that is about to change in the cache."""
        self.sdk.sellers(), self.sdk.catalogs(seller), self.sdk.seller(seller)
        for ask in (lambda: self.sdk.page_of_sellers(1, 10), lambda: self.sdk.page_of_catalogs(seller, 1, 10)):
            ask()
            self.assert_hit()

    def named(self, seller: int) -> list[str]:
        """The names that the list of sellers has for this one."""
        return [item.name for item in self.sdk.sellers() if item.id == seller]

    def titled(self, seller: int, catalog: int) -> list[str]:
        """The titles that the seller's list of catalogs has for this one."""
        return [item.title for item in self.sdk.catalogs(seller) if item.id == catalog]

    def test_a_new_seller_is_in_the_list_and_can_be_got_at_once(self) -> None:
        before = len(self.sdk.sellers())
        new = self.add_seller("Newcomer & Söhne")
        self.assertEqual(len(self.sdk.sellers()), before + 1)
        self.assertEqual(self.named(new.id), ["Newcomer & Söhne"])
        self.assertEqual(self.sdk.seller(new.id).customer_display_id, 770_001)

    def test_a_changed_seller_is_seen_at_once(self) -> None:
        seller = self.add_seller("Old Name").id
        self.warm(seller)
        self.sdk.change_seller(seller, {"name": "New Name", "customerDisplayId": 770_002, "isActive": False})
        self.assertEqual(self.named(seller), ["New Name"])
        got = self.sdk.seller(seller)
        self.assertEqual((got.name, got.customer_display_id, got.is_active), ("New Name", 770_002, False))

    def test_a_deleted_seller_is_gone_at_once(self) -> None:
        seller = self.add_seller("Short-lived").id
        self.warm(seller)
        self.sdk.delete_seller(seller)
        self.assertEqual(self.named(seller), [])
        with self.assert_refused(404):
            self.sdk.seller(seller)
        with self.assert_refused(404):
            self.sdk.delete_seller(seller)

    def test_a_new_catalog_is_among_those_of_its_seller_at_once(self) -> None:
        seller = self.add_seller("Has Sales").id
        self.warm(seller)
        self.assertEqual(self.sdk.catalogs(seller), [])
        new = self.add_catalog(seller, "First Sale")
        self.assertEqual(self.titled(seller, new.id), ["First Sale"])
        self.assertEqual(self.sdk.catalog(new.id).title, "First Sale")

    def test_a_changed_catalog_is_seen_at_once(self) -> None:
        seller = self.add_seller("Changes Sales").id
        catalog = self.add_catalog(seller, "Spring").id
        self.warm(seller)
        self.sdk.change_catalog(catalog, self.sdk.sale(seller, "Autumn"))
        self.assertEqual(self.titled(seller, catalog), ["Autumn"])
        self.assertEqual(self.sdk.catalog(catalog).title, "Autumn")

    def test_a_catalog_given_to_another_seller_moves_at_once(self) -> None:
        giver, taker = (self.add_seller(name).id for name in ("Giver", "Taker"))
        catalog = self.add_catalog(giver, "Moving").id
        self.warm(giver)
        self.warm(taker)
        self.sdk.change_catalog(catalog, self.sdk.sale(taker, "Moving"))
        self.assertEqual((self.titled(giver, catalog), self.titled(taker, catalog)), ([], ["Moving"]))

    def test_a_deleted_catalog_is_gone_at_once(self) -> None:
        seller = self.add_seller("Calls Off Sales").id
        catalog = self.add_catalog(seller, "Called Off").id
        self.warm(seller)
        self.sdk.delete_catalog(catalog)
        self.assertEqual(self.titled(seller, catalog), [])
        with self.assert_refused(404):
            self.sdk.catalog(catalog)

    def test_a_write_that_the_api_refuses_raises_the_error_of_the_sdk(self) -> None:
        with self.assert_refused(404):
            self.sdk.change_seller(NOBODY, {"name": "x", "customerDisplayId": 1, "isActive": True})
        with self.assert_refused(404):
            self.add_catalog(NOBODY, "Nobody's")


class Tokens(Check):
    """Who may read, and how one logs in."""

    def reads(self) -> Iterator[tuple[str, Any]]:
        """A read of each kind, all of them warm."""
        seller = self.seller_with_catalogs()
        catalog = self.own_catalogs(seller)[0]["id"]
        for name, ask in (
            ("sellers", lambda: self.sdk.page_of_sellers(1, 10)),
            ("catalogs", lambda: self.sdk.page_of_catalogs(seller, 1, 10)),
            ("seller", lambda: self.sdk.seller(seller)),
            ("catalog", lambda: self.sdk.catalog(catalog)),
        ):
            ask()
            yield name, ask

    def assert_every_read_refused(self, token: str, status: int) -> None:
        for name, ask in list(self.reads()):
            with self.subTest(name), self.sdk.with_token(token), self.assert_refused(status):
                ask()
            with self.subTest(f"{name}, with the good token again"):
                ask()

    def test_one_logs_in_through_the_proxy_and_at_the_identity_server(self) -> None:
        for at in (PROXY, UPSTREAM):
            with self.subTest(at), self.sdk.with_token(self.sdk.log_in("second", "second", f"{at}/connect/token")):
                self.assertGreater(len(self.sdk.page_of_sellers(1, 10).items), 0)

    def test_a_wrong_password_raises_the_error_of_the_sdk(self) -> None:
        for at in (PROXY, UPSTREAM):
            with self.subTest(at), self.assertRaisesRegex(self.sdk.no_login, "invalid_grant"):
                self.sdk.log_in("partial", "wrong", f"{at}/connect/token")

    def test_a_session_that_is_too_old_is_refreshed_by_the_sdk(self) -> None:
        before = self.sdk.token()
        self.sdk.refresh()
        self.assertNotEqual(self.sdk.token(), before)
        self.assertGreater(len(self.sdk.page_of_sellers(1, 10).items), 0)

    def test_a_bad_token_raises_401_although_everything_is_warm(self) -> None:
        self.assert_every_read_refused("not.a.token", 401)
        good = self.sdk.token()
        self.assert_every_read_refused(f"{good[:-8]}AAAAAAAA", 401)

    def test_an_expired_token_raises_401_although_everything_is_warm(self) -> None:
        self.assert_every_read_refused(self.upstream.log_in("demo", at=EXPIRED), 401)

    def test_a_user_without_rights_gets_403_although_everything_is_warm(self) -> None:
        self.assert_every_read_refused(self.upstream.log_in("restricted"), 403)

    def test_a_user_who_may_not_list_sellers_still_reads_catalogs(self) -> None:
        seller = self.seller_with_catalogs()
        titles = [catalog.title for catalog in self.sdk.catalogs(seller)]
        self.sdk.sellers()
        with self.sdk.with_token(self.upstream.log_in("partial")):
            with self.assert_refused(403):
                self.sdk.sellers()
            self.assertEqual([catalog.title for catalog in self.sdk.catalogs(seller)], titles)

    def test_a_bad_token_writes_nothing_and_raises_401(self) -> None:
        with self.sdk.with_token("not.a.token"), self.assert_refused(401):
            self.add_seller("Burglar")
        self.assertNotIn("Burglar", [seller.name for seller in self.sdk.sellers()])


class Lines(unittest.TestResult):
    """A line for each check, and what went wrong below it."""

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.errors_before = len(self.failures) + len(self.errors)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        wrong = (self.failures + self.errors)[:]
        new = [text for case, text in wrong if case is test or getattr(case, "test_case", None) is test]
        sentence = test.id().rsplit(".test_", 1)[-1].replace("_", " ")
        print(f"  {'FAILED' if new else 'ok'} {sentence}", flush=True)
        for text in new:
            print("".join(f"      {line}\n" for line in text.splitlines()), end="")


def run(sdk: Sdk, *kinds: type[Check]) -> int:
    """Runs the checks of these kinds; the exit code."""
    Check.sdk = sdk
    suite = unittest.TestSuite(
        unittest.defaultTestLoader.loadTestsFromTestCase(kind) for kind in kinds if REDIS or not issubclass(kind, Warm)
    )
    result = Lines()
    suite.run(result)
    if not result.testsRun:
        print("  FAILED no check was run")
    return 0 if result.wasSuccessful() and result.testsRun else 1


def main(sdk: Sdk, *kinds: type[Check]) -> None:
    sys.exit(run(sdk, *kinds))
