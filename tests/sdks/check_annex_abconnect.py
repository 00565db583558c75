"""The SDK `annex-abconnect`, generation 2: one seller a catalog, platforms, bulk upserts and merges."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ab import ABConnectAPI, AuthenticationError, RequestError, paginate
from ab.auth.base import Token
from ab.auth.memory import MemoryTokenStorage
from ab.config import ABConnectSettings

import through
from through import PROXY, UPSTREAM, Json, Reads, Tokens, Warm, Writes, days_from_now

#: What the profile keeps of a catalog and the second generation still has.
CATALOG = ("id", "title", "startDate", "endDate", "isCompleted")


class Second(through.Sdk):
    refusal = RequestError
    no_login = AuthenticationError

    def __init__(self) -> None:
        # It warns of every field that its models do not name, `customerCatalogId` for one.
        logging.disable(logging.WARNING)
        os.environ |= {"ABCONNECT_CLIENT_ID": "checks", "ABCONNECT_CLIENT_SECRET": "checks"}
        self.at(f"{PROXY}/connect/token")
        ABConnectSettings.catalog_base_url = property(lambda settings: f"{PROXY}/api")
        self.api = self.session()
        self.api.login("demo", "demo")

    @staticmethod
    def at(identity: str) -> None:
        ABConnectSettings.identity_url = property(lambda settings: identity)

    @staticmethod
    def session() -> ABConnectAPI:
        return ABConnectAPI(token_storage=MemoryTokenStorage(), allow_password_fallback=False)

    def page_of_sellers(self, number: int, size: int, **filters: Any) -> Any:
        return self.api.sellers.list(page_number=number, page_size=size, **filters)

    def page_of_catalogs(self, sellers: int | list[int], number: int, size: int) -> Any:
        sellers = sellers if isinstance(sellers, list) else [sellers]
        return self.api.catalog.list(page_number=number, page_size=size, seller_ids=sellers)

    def seller(self, seller: int) -> Any:
        return self.api.sellers.get(seller)

    def catalog(self, catalog: int) -> Any:
        return self.api.catalog.get(catalog)

    def lot(self, lot: int) -> Any:
        return self.api.lots.get(lot)

    def add_seller(self, fields: Json) -> Any:
        return self.api.sellers.create(data=fields)

    def change_seller(self, seller: int, fields: Json) -> Any:
        return self.api.sellers.update(seller, data=fields)

    def delete_seller(self, seller: int) -> None:
        self.api.sellers.delete(seller)

    def sale(self, seller: int, title: str) -> Json:
        return {
            "title": title,
            "start_date": days_from_now(3),
            "end_date": days_from_now(9),
            "is_completed": False,
            "seller_id": seller,
            "platforms": [{"platform_id": 2, "platform_catalog_id": f"P-{title}"}],
        }

    def add_catalog(self, fields: Json) -> Any:
        return self.api.catalog.create(data=fields)

    def change_catalog(self, catalog: int, fields: Json) -> Any:
        return self.api.catalog.update(catalog, data=fields)

    def delete_catalog(self, catalog: int) -> None:
        self.api.catalog.delete(catalog)

    def add_lot(self, catalog: int, number: str) -> Any:
        place = {"catalog_id": catalog, "lot_number": number}
        return self.api.lots.create(data={"initial_data": {"qty": 1, "description": "A clock"}, "catalogs": [place]})

    def delete_lot(self, lot: int) -> None:
        self.api.lots.delete(lot)

    def kept_of_catalog(self, catalog: Json) -> Json:
        platforms = catalog["platforms"] or []
        outside = {"customerCatalogId": platforms[0]["platformCatalogId"]} if platforms else {}
        return through.picked(CATALOG, catalog) | outside

    def log_in(self, user: str, password: str, at: str) -> str:
        self.at(at)
        try:
            return self.session().login(user, password).access_token
        finally:
            self.at(f"{PROXY}/connect/token")

    @contextmanager
    def directly(self) -> Iterator[None]:
        client = self.api._catalog
        before, client._base_url = client._base_url, f"{UPSTREAM}/api"
        try:
            yield
        finally:
            client._base_url = before

    def refresh(self) -> None:
        self.storage.get_token().expires_at = 1
        self.page_of_sellers(1, 10)

    @property
    def storage(self) -> MemoryTokenStorage:
        return self.api._token_storage

    def token(self) -> str:
        return self.storage.get_token().access_token

    def put_token(self, token: str) -> None:
        before = self.storage.get_token()
        self.storage.save_token(Token(token, before.refresh_token, time.time() + 3000))


class SecondReads(Reads):
    def test_its_own_way_of_paging_gives_all_sellers(self) -> None:
        items = [item.id for page in paginate(self.sdk.api.sellers.list, page_size=100) for item in page.items]
        self.assertEqual(items, [seller["id"] for seller in self.own_sellers()])

    def test_platforms_and_their_filters_come_from_the_api(self) -> None:
        own = self.upstream.get("Platform", self.sdk.token())["items"]
        self.assert_same(self.sdk.api.platforms.list().items, own)
        self.assertEqual(self.sdk.api.platforms.get(own[0]["id"]).name, own[0]["name"])
        some = next(catalog for catalog in self.own_catalogs(self.seller_with_catalogs()) if catalog["platforms"])
        outside = some["platforms"][0]["platformCatalogId"]
        found = self.sdk.api.catalog.list(platform_catalog_id=outside).items
        self.assertIn(some["id"], [catalog.id for catalog in found])


class SecondWarm(Warm):
    def test_asking_for_item_data_by_post_throws_nothing_out(self) -> None:
        self.sdk.sellers()
        self.sdk.api.lots.item_data(data={"partner_id": 101, "customer_item_ids": ["nothing"]})
        self.sdk.page_of_sellers(1, 10)
        self.assert_hit()


class SecondWrites(Writes):
    def upsert(self, title: str, display_id: int, seller: str) -> Any:
        sale = {
            "customer_catalog_id": f"BULK-{display_id}",
            "title": title,
            "start_date": days_from_now(2),
            "end_date": days_from_now(4),
            "platform_id": 1,
            "lots": [{"customer_item_id": "B-1", "lot_number": "1", "data": {"qty": 1}}],
            "seller": {"name": seller, "customer_display_id": display_id, "is_active": True},
        }
        return self.sdk.api.catalog.bulk_upsert(data={"catalogs": [sale]})

    def test_a_bulk_upsert_is_seen_at_once_and_a_second_one_adds_nothing(self) -> None:
        self.sdk.sellers()
        (first,) = self.upsert("Bulk Sale", 880_001, "Came In Bulk")
        seller = next(item.id for item in self.sdk.sellers() if item.name == "Came In Bulk")
        self.assertEqual(self.titled(seller, first.id), ["Bulk Sale"])
        self.warm(seller)
        (again,) = self.upsert("Bulk Sale", 880_001, "Came In Bulk")
        self.assertEqual(again.id, first.id)
        self.assertEqual(len(self.sdk.catalogs(seller)), 1)
        self.sdk.delete_catalog(first.id)
        (new,) = self.upsert("Bulk Sale", 880_001, "Came In Bulk")
        self.assertEqual([catalog.id for catalog in self.sdk.catalogs(seller)], [new.id])

    def test_a_merged_catalog_is_gone_at_once(self) -> None:
        seller = self.add_seller("Merges Sales").id
        target, source = (self.add_catalog(seller, title).id for title in ("Stays", "Goes"))
        lot = self.sdk.add_lot(source, "12").id
        self.warm(seller)
        merged = self.sdk.api.catalog.merge(target, source)
        self.assertIn(lot, [known.id for known in merged.lots])
        self.assertEqual([catalog.title for catalog in self.sdk.catalogs(seller)], ["Stays"])
        with self.assert_refused(404):
            self.sdk.catalog(source)

    def test_what_a_deleted_platform_called_a_catalog_is_gone_at_once(self) -> None:
        platform = self.sdk.api.platforms.create(data={"name": "Closing", "partner_id": 7, "is_active": True}).id
        seller = self.add_seller("On A Platform").id
        sale = self.sdk.sale(seller, "Listed") | {
            "platforms": [{"platform_id": platform, "platform_catalog_id": "ONLY-HERE"}]
        }
        self.sdk.add_catalog(sale)
        self.warm(seller)
        self.assertIn("ONLY-HERE", through.WIRE.seen[-1].text)
        self.sdk.api.platforms.delete(platform)
        self.sdk.catalogs(seller)
        self.assertNotIn("ONLY-HERE", through.WIRE.seen[-1].text)


if __name__ == "__main__":
    through.main(Second(), SecondReads, SecondWarm, SecondWrites, Tokens)
