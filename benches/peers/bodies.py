"""What is served: a list of made-up sellers as the API has them, and files to forward.

A seller comes with all its catalogs, about 2 KB; a projected one has about 100 bytes. So a page of 25 is 2.5 KB
projected and 48 KB whole, and a projected page of 500 is 49 KB again.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

#: Of about 1 KB, as the API's are.
TOKEN = "".join(random.Random(1).choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", k=1017))
SELLERS = 500
FEW = 25
NAMES = ("Ashgrove", "Bellweather", "Castellane", "Dunmore", "Ellingham", "Fairbanks", "Godolphin", "Hartwell")
TRADES = (
    "Auctions & Appraisals of Savannah",
    "Fine Art Auctioneers, LLC",
    "Antiques & Collectibles",
    "Estate Sales Inc.",
)
SEASONS = ("Spring", "Summer", "Autumn", "Winter")
FILES = {"1KB": 1_000, "50KB": 50_000, "10MB": 10_000_000}


class Bodies:
    """Writes what the origin serves into a folder, and knows the targets."""

    small = f"/api/Seller?PageNumber=1&PageSize={FEW}"
    large = f"/api/Seller?PageNumber=1&PageSize={SELLERS}"
    #: The upstream's own page, as a cache that does not project keeps it.
    whole = f"/api/whole/Seller?PageNumber=1&PageSize={FEW}"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("upstream", "sent", "files"):
            (folder / name).mkdir(parents=True)
        made = [_seller(number) for number in range(1, SELLERS + 1)]
        for size in (1, FEW, SELLERS):
            (folder / "upstream" / str(size)).write_bytes(_page(made, size))
        chance = random.Random(2)
        for name, size in FILES.items():
            (folder / "files" / name).write_bytes(chance.randbytes(size))

    def sent(self, size: int, body: bytes) -> None:
        """Lets the origin send to the peers what catproxy has sent."""
        (self.folder / "sent" / str(size)).write_bytes(body)


def _page(sellers: list[dict[str, object]], size: int) -> bytes:
    pages = -(-len(sellers) // size)
    page = {
        "items": sellers[:size],
        "pageNumber": 1,
        "totalPages": pages,
        "totalItems": len(sellers),
        "hasPreviousPage": False,
        "hasNextPage": pages > 1,
    }
    return json.dumps(page, separators=(",", ":")).encode()


def _seller(number: int) -> dict[str, object]:
    chance = random.Random(number)
    return {
        "id": 10_000 + number,
        "name": f"{chance.choice(NAMES)} {chance.choice(TRADES)} House No. {number:03}",
        "displayId": None,
        "catalogs": [_catalog(chance, number, place) for place in range(8)],
        "customerDisplayId": 40_000 + number,
        "isActive": True,
    }


def _catalog(chance: random.Random, seller: int, place: int) -> dict[str, object]:
    month, day = chance.randint(1, 12), chance.randint(1, 28)
    return {
        "id": 100 * seller + place,
        "customerCatalogId": str(chance.randint(100_000, 999_999)),
        "agent": None,
        "agentCompanyIds": [],
        "title": f"{chance.choice(SEASONS)} Sale of {chance.choice(TRADES)}, Part {place}",
        "startDate": f"2031-{month:02}-{day:02}T10:00:00Z",
        "endDate": f"2031-{month:02}-{day:02}T18:00:00Z",
        "isCompleted": False,
    }
