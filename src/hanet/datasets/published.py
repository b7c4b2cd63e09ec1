"""The table of published data sets: where they come from, what they hold, how their values lie, on
what terms.

What could not be established from a source that we read is None and says so; nothing here is
guessed. Sources (read 2026-11): LEVIR-CD and WHU-CD: docs/concepts/sources.md, sections 3 and 4;
sizes of WHU-CD's halves: scripts of several users of the release, which agree, and the published
1260/690 crops of 512 pixels (30 x 42 and 30 x 23) fit them. DSIFN: its authors' dataset/README.md,
which states no resolution. SYSU-CD: its authors' README.md. S2Looking: arXiv 2107.09244. CDD: the
page of ChangeDetectionRepository, which cites its paper. Mean and std: the official HANet code
(utils/datasetHCX.py), to four places. Folders: as loaders of these sets read them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from hanet.errors import SettingsError
from hanet.metadata import IMAGENET_MEAN, IMAGENET_STD
from hanet.types import Json


class Statistics(NamedTuple):
    """Mean and standard deviation of each band (R, G, B) and date, of values in 0-1."""

    mean_before: tuple[float, ...]
    std_before: tuple[float, ...]
    mean_after: tuple[float, ...]
    std_after: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KnownDataset:
    """A published data set.

    Args:
        key: Its name in commands and experiments.
        title: Its name in print.
        about: What changes in it, where and when.
        gsd_m: (finest, coarsest) metres a pixel; None where its authors' page does not say.
        scenes: What the release holds, in words.
        folders: How the release lies on disk; in ours, before is A, after is B.
        tiles: Published tiles of 256 pixels by split, as papers that train on 256 count them; empty
            where there is no one count.
        tiles_note: What must be known of that count.
        statistics: Per-date mean and std of the official code; None where it has none.
        licence: Terms as the release states them; None where we found none.
        weights_terms: What that means for weights trained on it, as they carry it.
        citation: How to cite it.
        homepage: Where to get it.
    """

    key: str
    title: str
    about: str
    gsd_m: tuple[float, float] | None
    scenes: str
    folders: str
    tiles: dict[str, int] = field(default_factory=dict)
    tiles_note: str = ""
    statistics: Statistics | None = None
    licence: str | None = None
    weights_terms: str = ""
    citation: str = ""
    homepage: str = ""

    def to_json(self) -> Json:
        """All fields, statistics by name."""
        return {
            **asdict(self),
            "statistics": self.statistics._asdict() if self.statistics else None,
        }


_TABLE = (
    KnownDataset(
        key="levir-cd",
        title="LEVIR-CD",
        about="buildings; 20 regions of Texas, USA, 5 to 14 years apart",
        gsd_m=(0.5, 0.5),
        scenes="637 pairs of 1024x1024 (445 train, 64 val, 128 test)",
        folders="SPLIT/{A,B,label}/SPLIT_N.png, label 0 and 255",
        tiles={"train": 7120, "val": 1024, "test": 2048},
        tiles_note="each scene cut into 16 tiles without overlap",
        statistics=Statistics(
            (0.4503, 0.4467, 0.3813),
            (0.2171, 0.2040, 0.1867),
            (0.3455, 0.3382, 0.2888),
            (0.1576, 0.1520, 0.1444),
        ),
        licence="academic use only; imagery of Google Earth",
        weights_terms="academic use only: trained on LEVIR-CD, whose imagery is Google Earth's",
        citation="Chen and Shi, Remote Sensing 12(10), 1662, 2020, doi 10.3390/rs12101662",
        homepage="https://justchenhao.github.io/LEVIR/",
    ),
    KnownDataset(
        key="whu-cd",
        title="WHU-CD",
        about="buildings; Christchurch, New Zealand, 2012 and 2016, rebuilt after the earthquake "
        "of 2011",
        gsd_m=(0.2, 0.2),
        scenes="one pair of 32507x15354, released whole or as a train (21243x15354) and a test "
        "half (11265x15354)",
        folders=(
            "{2012,2016}/whole_image/SPLIT/image/YEAR_SPLIT.tif with "
            "change_label/SPLIT/change_label.tif; "
            "or before/before.tif, after/after.tif, change label/change_label.tif"
        ),
        tiles={"train": 4536, "val": 504, "test": 2760},
        tiles_note=(
            "the HANet paper's split: 1260 and 690 crops of 512, each in four, a random tenth of "
            "train for val; "
            "others use 6096/762/762 (random) and more: name the split with every score"
        ),
        statistics=Statistics(
            (0.4907, 0.4491, 0.3930),
            (0.1723, 0.1682, 0.1702),
            (0.4914, 0.4904, 0.4698),
            (0.2150, 0.2045, 0.2196),
        ),
        weights_terms="as the data set WHU-CD allows",
        citation="Ji, Wei and Lu, IEEE TGRS 57(1), 574-586, 2019, doi 10.1109/TGRS.2018.2858817",
        homepage="http://gpcv.whu.edu.cn/data/building_dataset.html",
    ),
    KnownDataset(
        key="cdd",
        title="CDD",
        about="appearing and vanishing objects, from cars to buildings, in images of different "
        "seasons",
        gsd_m=(0.03, 1.0),
        scenes="11 pairs of images, released as 16000 tiles of 256x256",
        folders="SPLIT/{A,B,OUT}, several variants; the season-varying real images are the ones "
        "papers score on",
        tiles={"train": 10000, "val": 3000, "test": 3000},
        tiles_note="cut and rotated by the authors; users of the release count 2998 in val",
        statistics=Statistics(
            (0.3539, 0.3910, 0.3431),
            (0.2159, 0.2340, 0.2087),
            (0.4732, 0.4986, 0.4687),
            (0.2431, 0.2602, 0.2568),
        ),
        citation="Lebedev et al., ISPRS Archives XLII-2, 565-571, 2018, doi "
        "10.5194/isprs-archives-XLII-2-565-2018",
        homepage="https://drive.google.com/file/d/1GX656JqqOyBi_Ef0w65kDGVto-nHrNs9",
    ),
    KnownDataset(
        key="dsifn",
        title="DSIFN",
        about="land cover of all kinds; six cities of China, imagery of Google Earth",
        gsd_m=None,
        scenes="3988 pairs of 512x512 (3600 train, 340 val, 48 test); train and val augmented "
        "tenfold by the authors",
        folders="SPLIT/{t1,t2,mask}, images JPEG",
        tiles={"train": 14400, "val": 1360, "test": 192},
        tiles_note="each pair cut into four; train and val share five cities, test is a sixth "
        "(Xi'an)",
        statistics=Statistics(
            (0.3933, 0.4101, 0.3723),
            (0.2000, 0.1959, 0.1964),
            (0.3904, 0.3821, 0.3851),
            (0.1943, 0.1778, 0.1713),
        ),
        citation="Zhang et al., ISPRS Journal 166, 183-200, 2020, doi "
        "10.1016/j.isprsjprs.2020.06.003",
        homepage=(
            "https://github.com/GeoZcx/"
            "A-deeply-supervised-image-fusion-network-for-change-detection-in-remote-sensing-images/tree/master/dataset"
        ),
    ),
    KnownDataset(
        key="sysu-cd",
        title="SYSU-CD",
        about="buildings, groundwork, vegetation, roads, sea construction; Hong Kong, 2007 to 2014",
        gsd_m=(0.5, 0.5),
        scenes="20000 pairs of 256x256 (12000 train, 4000 val, 4000 test)",
        folders="SPLIT/{time1,time2,label}, PNG",
        tiles={"train": 12000, "val": 4000, "test": 4000},
        statistics=Statistics(
            (0.3966, 0.5285, 0.4654),
            (0.2434, 0.1844, 0.1807),
            (0.4020, 0.4877, 0.3990),
            (0.2184, 0.1811, 0.1790),
        ),
        citation="Shi et al., IEEE TGRS 60, 2022, doi 10.1109/TGRS.2021.3085870",
        homepage="https://github.com/liumency/SYSU-CD",
    ),
    KnownDataset(
        key="s2looking",
        title="S2Looking",
        about="rural buildings around the world, seen from the side",
        gsd_m=(0.5, 0.8),
        scenes="5000 pairs of 1024x1024 (3500 train, 500 val, 1000 test)",
        folders="SPLIT/{Image1,Image2,label}; label1 and label2 hold the new and the demolished "
        "buildings apart",
        tiles={"train": 56000, "val": 8000, "test": 16000},
        tiles_note="each scene cut into 16 tiles without overlap; most papers score whole scenes",
        statistics=Statistics(
            (0.1755, 0.2082, 0.2036),
            (0.0785, 0.0806, 0.0778),
            (0.2055, 0.2196, 0.2118),
            (0.0732, 0.0642, 0.0601),
        ),
        citation="Shen et al., Remote Sensing 13(24), 5094, 2021, doi 10.3390/rs13245094",
        homepage="https://github.com/S2Looking/Dataset",
    ),
)

KNOWN_DATASETS: dict[str, KnownDataset] = {dataset.key: dataset for dataset in _TABLE}
"""The data sets by key."""

PER_DATE_STATISTICS: dict[str, Statistics] = {
    "imagenet": Statistics(IMAGENET_MEAN, IMAGENET_STD, IMAGENET_MEAN, IMAGENET_STD),
    **{
        key: dataset.statistics
        for key, dataset in KNOWN_DATASETS.items()
        if dataset.statistics is not None
    },
}
"""Mean and std of each date by the name that an experiment's ``statistics`` gives; ImageNet's are
the same for both dates."""


def known_dataset(key: str) -> KnownDataset:
    """The data set of a key, in any case.

    Raises:
        SettingsError: There is no data set of that name.
    """
    try:
        return KNOWN_DATASETS[key.lower()]
    except KeyError:
        raise SettingsError(
            f"there is no data set {key!r}", hint=f"known are {', '.join(KNOWN_DATASETS)}"
        ) from None
