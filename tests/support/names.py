"""Names that could break out of a cell, a tag or a command."""

from hypothesis import strategies as st

NASTY = [
    "a|b",
    "`x`",
    "<script>",
    "a\nb",
    "x_1",
    "50%",
    "a&b",
    "#1",
    "~",
    "^",
    "{}",
    "\\",
    "$x$",
    "[0]",
    "*",
    "问题",
    "\0",
]
NAMES = st.one_of(
    st.text(max_size=80), st.lists(st.sampled_from([*NASTY, "|", "\\", "-", "'"]), max_size=8).map("".join)
)
