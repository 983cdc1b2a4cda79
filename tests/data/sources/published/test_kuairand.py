from __future__ import annotations

import io
import tarfile

import pytest

from recsys_lab.config import UserError
from recsys_lab.data.sources.published.kuairand import USERS, KuaiRand
from tests.data.sources.published.readers import rows

HEADER = (
    "user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,is_forward,"
    "is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,comment_stay_time,"
    "is_profile_enter,is_rand,tab\n"
)


def line(user, video, time, click=0, like=0, rand=0, tab=1):
    return (
        f"{user},{video},20220408,800,{time},{click},{like},0,0,0,0,1,900,1000,0,0,0,{rand},{tab}\n"
    )


T = 1649376000123
OLD = HEADER + line(1, 10, T, click=1) + line(1, 11, T + 1) + line(2, 10, T + 2, like=1)
NEW = HEADER + line(1, 12, T + 9_000, click=1, like=1)
RANDOM = HEADER + line(1, 13, T + 9_500, click=1, rand=1, tab=0)
USER_LINES = (
    f"user_id,is_lowactive_period,{','.join(USERS)}\n"
    + f"1,0,{','.join('x' for _ in USERS)}\n"
    + f"2,0,{','.join('' for _ in USERS)}\n"
)
VIDEO_LINES = """video_id,author_id,video_type,upload_dt,upload_type,video_duration,music_id,tag
10,5,NORMAL,2020-05-11,ShortImport,5966.5,9,"8,12"
99,5,NORMAL,2020-05-11,ShortImport,5966,9,1
11,6,AD,2020-05-11,Web,,,
"""
T_SECONDS = 1649376000


def files(variant="pure"):
    if variant != "27k":
        return {
            f"log_standard_4_08_to_4_21_{variant}.csv": OLD,
            f"log_standard_4_22_to_5_08_{variant}.csv": NEW,
            f"log_random_4_22_to_5_08_{variant}.csv": RANDOM,
            f"user_features_{variant}.csv": USER_LINES,
            f"video_features_basic_{variant}.csv": VIDEO_LINES,
        }
    return {
        "log_standard_4_08_to_4_21_27k_part1.csv": OLD,
        "log_standard_4_08_to_4_21_27k_part2.csv": NEW,
        "log_standard_4_22_to_5_08_27k_part1.csv": RANDOM,
        "log_standard_4_22_to_5_08_27k_part2.csv": HEADER + line(3, 3, T, click=1),
    }


@pytest.fixture
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture
def reader(make, tmp_path):
    def build(form="folder", variant="pure", **options):
        place = tmp_path / "KuaiRand"
        if form == "tar":
            place = tmp_path / "KuaiRand-Pure.tar.gz"
            with tarfile.open(place, "w:gz") as archive:
                for name, text in files(variant).items():
                    member = tarfile.TarInfo(f"KuaiRand-Pure/data/{name}")
                    member.size = len(text.encode())
                    archive.addfile(member, io.BytesIO(text.encode()))
        else:
            (place / "data").mkdir(parents=True, exist_ok=True)
            for name, text in files(variant).items():
                (place / "data" / name).write_text(text)
        return make(KuaiRand, "data", "kuairand", path=str(place), variant=variant, **options)

    return build


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_clicks(reader, scratch, form):
    raw = reader(form).read_raw(scratch)
    got = rows(raw)
    assert got[0] == {
        "user_id": 1, "item_id": 10, "timestamp": T_SECONDS, "order": T, "event_type": "is_click",
        "is_rand": 0, "tab": 1, "play_time_ms": 900.0,
    }  # fmt: skip
    assert [row["item_id"] for row in got] == [10, 12]
    assert raw.dropped == {"exposure without is_click": 2}
    # Only the videos of the log; a list of tags.
    assert raw.items["item_id"].to_list() == [10]
    assert raw.items["tag"].to_list() == [["8", "12"]]
    assert raw.items["video_duration"].to_list() == [5966.5]
    assert raw.users["user_active_degree"].to_list() == ["x", None]
    assert raw.features.events["is_rand"] == "categorical"
    assert raw.features.items["tag"] == "list"


def test_several_signals(reader, scratch):
    raw = reader(signals=["is_like", "is_click"]).read_raw(scratch)
    assert [row["event_type"] for row in rows(raw)] == ["is_click", "is_like", "is_like"]
    assert raw.dropped == {"exposure without is_like or is_click": 1}
    assert raw.features.events["event_type"] == "categorical"


def test_every_exposure_of_both_logs(reader, scratch):
    raw = reader(signals=None, logs="both", item_tables=False).read_raw(scratch)
    got = rows(raw)
    assert [row["item_id"] for row in got] == [10, 11, 10, 12, 13]
    assert [row["is_rand"] for row in got] == [0, 0, 0, 0, 1]
    assert {row["event_type"] for row in got} == {"exposure"}
    assert raw.dropped == {}
    assert raw.items is None


def test_rewards_stand_beside_every_exposure(reader, scratch):
    options = {"signals": None, "logs": "both", "rewards": ["is_click", "is_like"]}
    raw = reader(**options).read_raw(scratch)
    got = rows(raw)
    assert [row["is_click"] for row in got] == [1, 0, 0, 1, 1]
    assert [row["is_like"] for row in got] == [0, 0, 1, 1, 0]
    assert raw.features.events["is_click"] == "numeric"


def test_random_alone(reader, scratch):
    assert [row["item_id"] for row in rows(reader(logs="random").read_raw(scratch))] == [13]


def test_the_parts_of_27k(reader, scratch):
    raw = reader(variant="27k").read_raw(scratch)
    assert [row["item_id"] for row in rows(raw)] == [10, 12, 13, 3]
    assert raw.users is None


def test_errors(reader, scratch, make, tmp_path):
    reader()
    wrong = make(KuaiRand, "data", "kuairand", path=str(tmp_path / "KuaiRand"), variant="1k")
    with pytest.raises(UserError, match=r"has no log_standard_4_08_to_4_21_1k\.csv"):
        wrong.read_raw(scratch)
    log = tmp_path / "KuaiRand/data/log_standard_4_08_to_4_21_pure.csv"
    log.write_text(OLD.replace("time_ms", "time", 1))
    with pytest.raises(UserError, match="is not the official file: it has no column time_ms"):
        make(KuaiRand, "data", "kuairand", path=str(tmp_path / "KuaiRand")).read_raw(scratch)


def test_prepared(reader, run):
    data = run(reader(signals=None, logs="both"))
    assert data.manifest["num_interactions"] == 5
    assert data.manifest["about"]["licence"] == "CC BY-SA 4.0"
