"""How people ask for more of a text: phrasings for conversations made from documents."""

from __future__ import annotations

from homespun.corpus.chat.sentences import Language

TEXT_QUESTIONS: dict[str, dict[Language, tuple[str, ...]]] = {
    "continue": {
        "en": (
            "Continue this text:\n\n{text}",
            "continue: {text}",
            "Please go on from here:\n\n{text}",
            "How does this go on?\n\n{text}",
            "Carry on with this passage.\n\n{text}",
            "{text}\n\nWhat follows?",
            "Here is the beginning of a passage. Write what follows.\n\n{text}",
        ),
        "zh": (
            "请接着写：{text}",
            "续写下面的文字：\n{text}",
            "接下去写：{text}",
            "{text}\n后面怎么写？",
            "请把这段话继续写下去：{text}",
            "下文是什么？\n{text}",
        ),
    },
    "next": {
        "en": (
            "What comes after this sentence?\n\n{text}",
            "Which sentence follows this one?\n\n{text}",
            "what comes next: {text}",
            "Write the sentence after this one: {text}",
            "{text}\n\nAnd then?",
            "Give me the next sentence.\n\n{text}",
        ),
        "zh": (
            "下一句是什么？{text}",
            "“{text}”的后一句是什么？",
            "请写出下一句：{text}",
            "{text}\n然后呢？",
            "这句话后面是哪一句？\n{text}",
            "接一句：{text}",
        ),
    },
    "complete": {
        "en": (
            "Complete the sentence: {text} …",
            "Finish this sentence: {text} …",
            "complete this: {text} …",
            "How does this sentence end?\n\n{text} …",
            "{text} … Please finish the sentence.",
            "Write the rest of this sentence: {text} …",
        ),
        "zh": (
            "把这句话补充完整：{text}……",
            "请写完这个句子：{text}……",
            "补全句子：{text}……",
            "这句话的后半句是什么？{text}……",
            "{text}……请接完这句话。",
            "完成下面的句子：{text}……",
        ),
    },
    "heading": {
        "en": (
            "How does the part “{heading}” begin?",
            "What does the part “{heading}” say first?",
            "Write the first sentence of “{heading}”.",
            "give me the first sentence under the heading “{heading}”",
            "Tell me briefly what it says under “{heading}”.",
            "Start the section “{heading}” for me.",
        ),
        "zh": (
            "“{heading}”的开头是什么？",
            "“{heading}”这一部分怎么开头？",
            "写出“{heading}”的第一句。",
            "标题“{heading}”下面先说了什么？",
            "简单说说“{heading}”开头的内容。",
            "以“{heading}”为题，写出第一句。",
        ),
    },
    "verse": {
        "en": (
            "Write the next line:\n\n{text}",
            "What is the next line?\n\n{text}",
            "continue with one line\n\n{text}",
            "{text}\n\nWhich line follows?",
            "Add the line that comes next.\n\n{text}",
            "Give me the following line:\n\n{text}",
        ),
        "zh": (
            "请写出下一句：\n{text}",
            "下一句诗是什么？\n{text}",
            "接下一句：{text}",
            "{text}\n下句是什么？",
            "“{text}”的下一句是？",
            "续一句：{text}",
        ),
    },
    "code": {
        "en": (
            "Continue this code:\n{text}",
            "What are the next lines?\n{text}",
            "go on with this code\n{text}",
            "Write the lines that follow:\n{text}",
            "{text}\nHow does it go on?",
            "Please carry on from here:\n{text}",
        ),
        "zh": ("请接着写这段代码：\n{text}",),
    },
}
