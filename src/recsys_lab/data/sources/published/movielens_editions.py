"""What the editions of MovieLens are, where they lie, and how their files are written."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_lab.data.sources.published.about import About, DatasetInfo

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
    """Where one edition is and how its files are written.

    Attributes:
        url: of the zip.
        md5: of the zip, as GroupLens publishes it at ``url.md5``.
        log: the file of ratings.
        items: the file of films.
        users: the file of users, or None.
        log_separator: between the values of a rating.
        separator: between the values of a film or user.
        user_columns: of ``users``.
        encoding: of films and users.
        log_header: first line of ``log``; films then have a header too.
    """

    url: str
    md5: str
    log: str
    items: str
    users: str | None
    log_separator: str
    separator: str
    user_columns: tuple[str, ...] = ()
    encoding: str = "utf-8"
    log_header: str | None = None

    @property
    def files(self) -> list[str]:
        """The files that are read."""
        return [self.log, self.items, *([self.users] if self.users else [])]


HEADER = "userId,movieId,rating,timestamp"

EDITIONS = {
    "100k": Edition(
        url="https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        md5="0e33842e24a9c977be4e0107933c0723",
        log="u.data",
        items="u.item",
        users="u.user",
        log_separator="\t",
        separator="|",
        user_columns=("user_id", "age", "gender", "occupation", "zip_code"),
        encoding="latin-1",
    ),
    "1m": Edition(
        url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        md5="c4d9eecfca2ab87c1945afe126590906",
        log="ratings.dat",
        items="movies.dat",
        users="users.dat",
        log_separator="::",
        separator="::",
        user_columns=("user_id", "gender", "age", "occupation", "zip_code"),
        encoding="latin-1",
    ),
    "10m": Edition(
        url="https://files.grouplens.org/datasets/movielens/ml-10m.zip",
        md5="ce571fd55effeba0271552578f2648bd",
        log="ratings.dat",
        items="movies.dat",
        users=None,
        log_separator="::",
        separator="::",
    ),
    "20m": Edition(
        url="https://files.grouplens.org/datasets/movielens/ml-20m.zip",
        md5="cd245b17a1ae2cc31bb14903e1204af3",
        log="ratings.csv",
        items="movies.csv",
        users=None,
        log_separator=",",
        separator=",",
        log_header=HEADER,
    ),
    "32m": Edition(
        url="https://files.grouplens.org/datasets/movielens/ml-32m.zip",
        md5="d472be332d4daa821edc399621853b57",
        log="ratings.csv",
        items="movies.csv",
        users=None,
        log_separator=",",
        separator=",",
        log_header=HEADER,
    ),
}

SIZES = {
    "100k": "100,000 ratings, 943 users, 1,682 films; 5 MB",
    "1m": "1,000,209 ratings, 6,040 users, 3,706 films; 6 MB",
    "10m": "10,000,054 ratings, 69,878 users, 10,677 films; 66 MB",
    "20m": "20,000,263 ratings, 138,493 users, 26,744 films; 199 MB",
    "32m": "32,000,204 ratings, 200,948 users, 84,432 films; 239 MB",
}
TITLES = {"100k": "100K", "1m": "1M", "10m": "10M", "20m": "20M", "32m": "32M"}
LICENCES = {
    "100k": "Research use; redistribution and commercial use need GroupLens' permission",
    "1m": "Research use; redistribution and commercial use need GroupLens' permission",
    "10m": "Research use; redistribution and commercial use need GroupLens' permission",
    "20m": "Research use; redistribution and commercial use need GroupLens' permission",
    "32m": "Research use; redistribution only under the same terms; commercial use needs "
    "GroupLens' permission",
}
NOTES = (
    "Ratings were entered in sessions: many of a user share one second, and a user's whole "
    "history often spans minutes. Ties keep the file's order; another rule changes results.",
    "Only users with at least 20 ratings were taken, so that there are no cold users.",
    "A rating says when a film was rated, not when it was seen. Published protocols differ in "
    "whether all ratings or only those of 4 and more count: filter.min_rating.",
)


def _named(variant: str) -> DatasetInfo:
    return DatasetInfo(
        about=About(
            title=f"MovieLens {TITLES[variant]}",
            homepage=f"https://grouplens.org/datasets/movielens/{variant}/",
            licence=f"{LICENCES[variant]}; citation is asked for.",
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
