"""Adapters: RSMs to objects of another tool, and back."""

from simplugins import RSM, Adapter


def to_lists(rsm):
    """Return the values of an RSM as nested lists; a real adapter would import its tool here."""
    return rsm.values.tolist()


def from_lists(rows, *, labels=None):
    """Return nested lists of similarities as an RSM."""
    return RSM.from_similarities(rows, labels=labels)


adapter = Adapter(tool="nested lists", modules=(), install="pip install my-plugins", rsm=to_lists, reader=from_lists)
