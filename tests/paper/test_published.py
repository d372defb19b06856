"""The paper's numbers: that none is missing, and that each fits what must hold between them."""

import pytest

from coe_ray.paper.published import TABLES, PaperTable, Published
from tests.paper.paper_facts import CLASSIFIERS, EXPERTS, NAMES, QUESTIONS, TABLE_SETS, TASKS, ExpertSet

SUMS = {
    "III": 863.61,
    "IV": 1322.75,
    "V": 1236.0,
    "VI": 1464.75,
    "VII": 1721.33,
    "VIII": 749.34,
    "IX": 1313.9,
    "X": 864.08,
}
"""All numbers of a table added up, from a second copy of the paper's tables."""

EVERY_TABLE = pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
ROWS = [pytest.param(numeral, row, id=f"{numeral}-{name}") for numeral, table in TABLES.items()
        for name, row in table.rows.items()]  # fmt: skip
EVERY_ROW = pytest.mark.parametrize(("numeral", "row"), ROWS)


def rounded(count: int, total: int) -> float:
    return round(100 * count / total, 2)


def test_all_eight_tables_of_results_are_there_with_all_their_rows() -> None:
    sizes = {numeral: len(table.rows) for numeral, table in TABLES.items()}
    assert sizes == {"III": 6, "IV": 5, "V": 5, "VI": 5, "VII": 6, "VIII": 6, "IX": 5, "X": 3}


def test_the_numbers_add_up_to_what_a_second_copy_of_the_tables_does() -> None:
    """So a digit changed by mistake does not go by."""
    numbers = {
        numeral: round(sum(value for row in table.rows.values() for value in figures(row)), 2)
        for numeral, table in TABLES.items()
    }
    assert numbers == SUMS


def figures(row: Published) -> list[float]:
    return [value for value in (row.accuracy, row.precision, row.recall, row.f1) if value is not None]


@EVERY_ROW
def test_an_accuracy_is_a_whole_number_of_questions(numeral: str, row: Published) -> None:
    questions = QUESTIONS[TABLE_SETS[numeral][0]]
    near = round(row.accuracy / 100 * questions)
    assert row.accuracy in {rounded(count, questions) for count in (near - 1, near, near + 1)} | {20.0, 12.5}


@EVERY_ROW
def test_recall_is_the_accuracy(numeral: str, row: Published) -> None:
    assert row.recall in (None, row.accuracy)
    assert TABLE_SETS[numeral][1] is None or row.recall is not None


@EVERY_ROW
def test_f1_is_at_most_halfway_between_precision_and_recall(numeral: str, row: Published) -> None:
    """A harmonic mean is never above the arithmetic one, class by class, and so in the weighted sum."""
    if row.precision is None or row.recall is None or row.f1 is None:
        assert row == Published(row.accuracy)
    else:
        assert 0 < row.f1 <= (row.precision + row.recall) / 2 + 0.01


@EVERY_TABLE
def test_every_system_has_a_name(table: PaperTable) -> None:
    assert set(table.rows) <= set(NAMES)


def test_names_differ() -> None:
    assert len(set(NAMES.values())) == len(NAMES)


def test_every_name_is_in_a_table() -> None:
    assert set(NAMES) == {system for table in TABLES.values() for system in table.rows}


@pytest.mark.parametrize(("experts", "numeral"), [(1, "III"), (2, "IV"), (3, "V"), (4, "VI")])
def test_the_experts_of_a_mapping_are_the_experts_of_its_table(experts: ExpertSet, numeral: str) -> None:
    """So each of them is best at something (eq. 2)."""
    table = TABLES[numeral]
    assert TABLE_SETS[numeral][1] == experts
    assert set(EXPERTS[experts].values()) == {system for system in table.rows if not system.startswith("coe/")}
    assert tuple(EXPERTS[experts]) == TASKS[TABLE_SETS[numeral][0]]


@pytest.mark.parametrize("experts", EXPERTS)
def test_a_set_has_two_experts_or_more_and_no_more_than_tasks(experts: ExpertSet) -> None:
    assert 2 <= len(set(EXPERTS[experts].values())) <= len(EXPERTS[experts])


@pytest.mark.parametrize(("again", "first"), [("IX", "IV"), ("X", "VI")])
def test_the_comparisons_print_the_rows_of_coe_again(again: str, first: str) -> None:
    for system in ("coe/classifier-1", "coe/classifier-2"):
        assert TABLES[again].rows[system] == TABLES[first].rows[system]


def test_what_the_text_of_the_paper_says_of_its_tables() -> None:
    def accuracy(numeral: str, system: str) -> float:
        return TABLES[numeral].rows[system].accuracy

    # Section V.C: "improvements of 37.54% and 72.28%" over Bench-CoE's classifier.
    assert accuracy("VII", "classifier-2") - accuracy("VII", "bench-coe") == pytest.approx(37.54)
    assert accuracy("VIII", "classifier-2") - accuracy("VIII", "bench-coe") == pytest.approx(72.28)
    # Abstract: up to 8 % above single models, up to 14 % above the mixture of experts.
    assert int(accuracy("III", "coe/classifier-2") - accuracy("III", "internlm-chat-7b")) == 8
    assert int(accuracy("IX", "coe/classifier-2") - accuracy("IX", "single")) == 14


def test_both_classifiers_have_a_row_each_with_and_without_retrieval() -> None:
    for numeral in ("VII", "VIII"):
        rows = list(TABLES[numeral].rows)
        assert rows[2:] == [row for name in CLASSIFIERS for row in (f"{name} without RAG", name)]
