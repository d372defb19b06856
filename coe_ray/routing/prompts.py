"""Prompts of classifier and experts. Pure. The instruction is in the language of the question.

The constant head (role, task list) comes first and the question last, so that an engine with prefix caching
computes the head once.
"""

from collections.abc import Sequence

from coe_ray.core.types import UNKNOWN, Message, Neighbour, Question, Task

_CLASSIFY = {
    "english": (
        "You sort questions from operations teams by task. Read the question and name the one task of this list "
        "that it belongs to."
    ),
    "chinese": "你负责将运维团队的问题按任务归类。请阅读问题，并从下面的列表中选出它所属的唯一任务。",
}
_TASKS = {
    "english": "Tasks:\n{tasks}\n- {unknown}: the question fits none of the above",
    "chinese": "任务列表：\n{tasks}\n- {unknown}：不属于以上任何一项",
}
_EXAMPLES = {
    "english": "These similar questions are already sorted:\n\n{examples}",
    "chinese": "以下是已经归类的相似问题：\n\n{examples}",
}
_QUESTION = {"english": "Question", "chinese": "问题"}
_FORMAT = {
    "english": "Reply in exactly this form:\n**Task: [selected task]**",
    "chinese": "请严格按照以下格式回答：\n**Task: [所选任务]**",
}
_ANSWER = {
    "step-by-step": {
        "english": (
            "Answer this multiple-choice question from operations work. Think step by step, briefly, and finish "
            "with the sentence: the answer is (X), where X is the letter of the right option."
        ),
        "chinese": (
            "请回答下面的运维单项选择题。请简要地一步一步思考，最后以“the answer is (X)”结束，其中 X 是正确选项的字母。"
        ),
    },
    "direct": {
        "english": (
            "Answer this multiple-choice question from operations work. Reply with the sentence: "
            "the answer is (X), where X is the letter of the right option, and nothing else."
        ),
        "chinese": (
            "请回答下面的运维单项选择题。只需回答“the answer is (X)”，其中 X 是正确选项的字母，不要输出其他内容。"
        ),
    },
    "next-token": {
        "english": (
            "Answer this multiple-choice question from operations work. Reply with the letter of the right option "
            "and nothing else."
        ),
        "chinese": "请回答下面的运维单项选择题。只需回答正确选项的字母，不要输出其他内容。",
    },
}
_REPLY = {"english": "Answer:", "chinese": "答案："}


def classifier_prompt(
    question: Question,
    tasks: Sequence[Task],
    neighbours: Sequence[Neighbour],
    example_chars: int,
    instruction: str | None = None,
) -> tuple[Message, ...]:
    """The classifier's prompt: the paper's prompt 1, or with neighbours prompt 3.

    Examples are cut to `example_chars` characters, the question never. `instruction` replaces the built-in one.
    """
    language = question.language
    heading = _QUESTION[language]
    task_list = "\n".join(f"- {task.name}: {task.description}" for task in tasks)
    parts = [f"{heading}: {question.full_text}"]
    if neighbours:
        # The nearest one is next to the question: small models weigh what they read last.
        examples = "\n\n".join(
            f"{heading}: {_cut(each.text, example_chars)}\n{task_label(each.task)}" for each in reversed(neighbours)
        )
        parts.insert(0, _EXAMPLES[language].format(examples=examples))
    parts.append(_FORMAT[language])
    head = "\n\n".join([instruction or _CLASSIFY[language], _TASKS[language].format(tasks=task_list, unknown=UNKNOWN)])
    return Message("system", head), Message("user", "\n\n".join(parts))


def task_label(task: str) -> str:
    """A label in the form that the prompt asks for, also for constrained decoding: with the bare name instead,
    SmolLM2-135M was right on 10 % of questions instead of 41 %."""
    return f"**Task: {task}**"


def answer_sentence(letter: str) -> str:
    """An answer in the form that the expert's prompt asks for."""
    return f"the answer is ({letter})"


def expert_prompt(
    question: Question, style: str, instruction: str | None = None, shots: Sequence[Question] = ()
) -> tuple[Message, ...]:
    """The expert's prompt (prompt 2) in the style `step-by-step` (the paper's), `direct` or `next-token`.

    `instruction` replaces the built-in one. `shots` are solved questions, shown before as turns of the conversation.
    """
    messages = [Message("system", instruction or _ANSWER[style][question.language])]
    for shot in shots:
        messages += [_user_message(shot, style), Message("assistant", _solution(shot, style))]
    return (*messages, _user_message(question, style))


def _user_message(question: Question, style: str) -> Message:
    text = question.full_text
    return Message("user", f"{text}\n{_REPLY[question.language]}" if style == "next-token" else text)


def _solution(shot: Question, style: str) -> str:
    letter = shot.answer or ""
    return letter if style == "next-token" else answer_sentence(letter)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit].rstrip() + " …"
