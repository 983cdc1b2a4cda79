"""The editions of MovieLens: descriptions, locations and file formats."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recsys_lab.data.sources.published.base import About, DatasetInfo

GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The flags at the end of a line of u.item, in order."""


@dataclass(frozen=True)
class Edition:
    """Files and formats of an edition.

    Attributes:
        md5: of the zip, as published by GroupLens.
        log: the file of ratings.
        items: the file of films.
        separator: between the values of films and users.
        users: the file of users, or None.
        log_separator: between the values of ratings; None: ``separator``.
        user_columns: of ``users``.
        encoding: of films and users.
        log_header: first line of ``log``; the file of films then has a header, too.
    """

    md5: str
    log: str
    items: str
    separator: str
    users: str | None = None
    log_separator: str | None = None
    user_columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    log_header: str | None = None

    @property
    def files(self) -> list[str]:
        """The files that are read."""
        return [self.log, self.items, *([self.users] if self.users else [])]


URL = "https://files.grouplens.org/datasets/movielens"
HEADER = "userId,movieId,rating,timestamp"

DAT = Edition(md5="", log="ratings.dat", items="movies.dat", separator="::")
CSV = Edition(md5="", log="ratings.csv", items="movies.csv", separator=",", log_header=HEADER)

EDITIONS = {
    "100k": Edition(
        md5="0e33842e24a9c977be4e0107933c0723",
        log="u.data",
        items="u.item",
        users="u.user",
        log_separator="\t",
        separator="|",
        user_columns=("user_id", "age", "gender", "occupation", "zip_code"),
        encoding="latin-1",
    ),
    "1m": replace(
        DAT,
        md5="c4d9eecfca2ab87c1945afe126590906",
        users="users.dat",
        user_columns=("user_id", "gender", "age", "occupation", "zip_code"),
        encoding="latin-1",
    ),
    "10m": replace(DAT, md5="ce571fd55effeba0271552578f2648bd"),
    "20m": replace(CSV, md5="cd245b17a1ae2cc31bb14903e1204af3"),
    "32m": replace(CSV, md5="d472be332d4daa821edc399621853b57"),
}

SIZES = {
    "100k": "100,000 ratings, 943 users, 1,682 films; 5 MB",
    "1m": "1,000,209 ratings, 6,040 users, 3,706 films; 6 MB",
    "10m": "10,000,054 ratings, 69,878 users, 10,677 films; 66 MB",
    "20m": "20,000,263 ratings, 138,493 users, 26,744 films; 199 MB",
    "32m": "32,000,204 ratings, 200,948 users, 84,432 films; 239 MB",
}
MAY_USE = "Research use; redistribution and commercial use need GroupLens' permission"
LICENCES = {
    "32m": "Research use; redistribution only under the same terms; commercial use needs "
    "GroupLens' permission"
}
NOTES = (
    "Ratings were entered in sessions: many ratings of a user share one second, and a user's whole "
    "history often spans minutes. Ties keep the file's order; another rule changes results.",
    "The dataset only has users with at least 20 ratings, so there are no cold users.",
    "A timestamp is the time of the rating, not of watching the film. Published protocols differ "
    "in whether all ratings or only those of 4 and more count: filter.min_rating.",
)


def _named(variant: str) -> DatasetInfo:
    return DatasetInfo(
        about=About(
            title=f"MovieLens {variant.upper()}",
            homepage=f"https://grouplens.org/datasets/movielens/{variant}/",
            licence=f"{LICENCES.get(variant, MAY_USE)}; citation is requested.",
            citation="Harper and Konstan (2015). The MovieLens Datasets: History and Context. ACM "
            "Transactions on Interactive Intelligent Systems 5(4). "
            "https://doi.org/10.1145/2827872",
            notes=NOTES,
        ),
        size=SIZES[variant],
        needs="nothing: downloaded",
        has_md5=True,
    )


NAMED = {variant: _named(variant) for variant in EDITIONS}
"""What `recsys-lab datasets` lists, by variant."""
