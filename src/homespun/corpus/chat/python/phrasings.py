"""How people ask: several phrasings of each kind of question, in English and Chinese.

`{name}` is the thing asked about, already written the way the asker writes it; other fields are
named by the kind. Follow-ups are said after an earlier question about the same thing, so they name
it no more. Lower case and missing question marks are on purpose: people type like that.
"""

from __future__ import annotations

from homespun.corpus.chat.sentences import Language

QUESTIONS: dict[str, dict[Language, tuple[str, ...]]] = {
    "describe": {
        "en": (
            "What does {name} do?",
            "what does {name} do",
            "What is {name}?",
            "what is {name}",
            "What is {name} for?",
            "Can you explain {name}?",
            "Explain {name} in a sentence or two.",
            "tell me about {name}",
            "In Python, what is {name} used for?",
            "I came across {name}. What does it do?",
            "Describe {name} briefly, please.",
        ),
        "zh": (
            "{name} 是做什么的？",
            "{name} 有什么用？",
            "请介绍一下 {name}。",
            "{name} 是什么",
            "解释一下 {name}",
            "我在代码里看到 {name}，它是干什么的？",
        ),
    },
    "args": {
        "en": (
            "Which arguments does {name} take?",
            "which arguments does {name} take",
            "What are the parameters of {name}?",
            "what arguments do i pass to {name}",
            "What can I pass to {name}?",
            "List the arguments of {name}.",
            "How do I call {name}? Which arguments are there?",
            "parameters of {name}?",
            "Tell me the arguments of {name}, please.",
        ),
        "zh": (
            "{name} 有哪些参数？",
            "{name} 的参数是什么？",
            "调用 {name} 要传什么参数",
            "列出 {name} 的参数。",
            "{name} 需要哪些参数？",
            "请告诉我 {name} 的参数",
        ),
    },
    "returns": {
        "en": (
            "What does {name} return?",
            "what does {name} return",
            "What is the return value of {name}?",
            "What do I get back from {name}?",
            "what comes back when i call {name}",
            "Tell me what {name} returns.",
            "return value of {name}?",
            "What is the result of {name}?",
        ),
        "zh": (
            "{name} 返回什么？",
            "{name} 的返回值是什么？",
            "调用 {name} 会得到什么",
            "{name} 返回的是什么",
            "请说明 {name} 的返回值。",
            "{name} 的结果是什么？",
        ),
    },
    "raises": {
        "en": (
            "Which exceptions can {name} raise?",
            "What does {name} raise?",
            "what errors can {name} raise",
            "When does {name} fail?",
            "Can {name} raise an exception?",
            "Which error should I expect from {name}?",
            "what exception does {name} throw",
        ),
        "zh": (
            "{name} 会抛出什么异常？",
            "{name} 可能引发哪些异常？",
            "{name} 什么时候会报错",
            "调用 {name} 要处理什么异常？",
            "{name} 会报什么错",
            "使用 {name} 时可能出现什么异常？",
        ),
    },
    "example": {
        "en": (
            "Show me an example of {name}.",
            "show an example of {name}",
            "Can you give an example of {name}?",
            "How do I use {name}?",
            "how is {name} used",
            "Example of {name}, please.",
            "I would like to see {name} in use.",
            "Give me a short example with {name}.",
        ),
        "zh": (
            "给我一个 {name} 的例子。",
            "{name} 怎么用？",
            "举个 {name} 的例子",
            "能给一个 {name} 的示例吗？",
            "请演示一下 {name}。",
            "{name} 的用法示例",
        ),
    },
    "signature": {
        "en": (
            "What is the signature of {name}?",
            "what is the signature of {name}",
            "Show the signature of {name}.",
            "How is {name} declared?",
            "signature of {name}?",
            "Write down the signature of {name}, please.",
            "What does the definition line of {name} look like?",
        ),
        "zh": (
            "{name} 的签名是什么？",
            "{name} 是怎么声明的？",
            "写出 {name} 的签名。",
            "{name} 的函数签名",
            "请给出 {name} 的签名",
            "{name} 的定义是怎么写的？",
        ),
    },
    "import": {
        "en": (
            "How do I import {name}?",
            "how do i import {name}",
            "Which import do I need for {name}?",
            "Where does {name} come from?",
            "Which module is {name} in?",
            "which module has {name}",
            "What do I import to use {name}?",
            "I want to use {name}. What is the import line?",
        ),
        "zh": (
            "怎么导入 {name}？",
            "{name} 在哪个模块里？",
            "{name} 属于哪个模块",
            "用 {name} 需要导入什么？",
            "如何 import {name}",
            "要使用 {name}，导入语句怎么写？",
        ),
    },
    "import_module": {
        "en": (
            "How do I import {name}?",
            "how do i import {name}",
            "What is the import line for {name}?",
            "I want to use the module {name}. What do I write first?",
            "How do I get the module {name} into my program?",
            "import line for {name}?",
        ),
        "zh": (
            "怎么导入 {name}？",
            "如何 import {name}",
            "导入 {name} 怎么写？",
            "要用模块 {name}，第一行写什么？",
            "{name} 的导入语句是什么？",
            "怎么在程序里使用模块 {name}",
        ),
    },
    "parameter": {
        "en": (
            "What is the argument `{parameter}` of {name}?",
            "what is {parameter} in {name}",
            "What does `{parameter}` mean in {name}?",
            "What is the `{parameter}` parameter of {name} for?",
            "In {name}, what is `{parameter}`?",
            "what should i pass as {parameter} to {name}",
            "Explain the parameter `{parameter}` of {name}.",
        ),
        "zh": (
            "{name} 的参数 `{parameter}` 是什么？",
            "{name} 里的 {parameter} 是什么意思",
            "{name} 的 `{parameter}` 参数有什么用？",
            "在 {name} 中，`{parameter}` 表示什么？",
            "解释 {name} 的参数 {parameter}",
            "传给 {name} 的 `{parameter}` 是什么？",
        ),
    },
    "module": {
        "en": (
            "What is the module {name} for?",
            "what is the {name} module",
            "What does the module {name} do?",
            "what is in {name}",
            "When would I use the {name} module?",
            "Tell me about the module {name}.",
            "What can I do with {name}?",
            "Describe the {name} module.",
        ),
        "zh": (
            "模块 {name} 是做什么的？",
            "{name} 模块有什么用",
            "请介绍一下模块 {name}。",
            "什么时候用 {name} 模块？",
            "{name} 这个模块是干什么的？",
            "说说 {name} 模块",
        ),
    },
    "list": {
        "en": (
            "List some {things} of the module {name}.",
            "Which {things} are in {name}?",
            "what {things} does {name} have",
            "Name a few {things} from {name}.",
            "which {things} can i use from {name}",
            "Give me some {things} of {name}, please.",
            "What {things} does the module {name} offer?",
        ),
        "zh": (
            "模块 {name} 有哪些{things}？",
            "列出 {name} 的几个{things}。",
            "{name} 里有什么{things}",
            "说几个 {name} 模块的{things}",
            "{name} 提供哪些{things}？",
            "我能用 {name} 里的哪些{things}？",
        ),
    },
    "find": {
        "en": (
            "Which {thing} {predicate}?",
            "which {thing} {predicate}",
            "What is the name of the {thing} that {predicate}?",
            "I need a {thing} that {predicate}. Which one is it?",
            "Is there a {thing} that {predicate}?",
            "name the {thing} that {predicate}",
            "I am looking for a {thing} that {predicate}.",
        ),
        "zh": (
            "哪个{thing}的说明是“{summary}”？",
            "文档写着“{summary}”的是哪个{thing}",
            "我要找一个{thing}：{summary} 是哪一个？",
            "“{summary}”说的是哪个{thing}？",
            "说明为“{summary}”的{thing}叫什么？",
            "请问这是哪个{thing}的说明：{summary}",
        ),
    },
}

FOLLOW_UPS: dict[str, dict[Language, tuple[str, ...]]] = {
    "args": {
        "en": (
            "And which arguments does it take?",
            "which arguments does it take",
            "What do I pass to it?",
            "and its parameters?",
            "What are its arguments?",
            "Thanks. Which parameters does it have?",
        ),
        "zh": ("它有哪些参数？", "那参数呢", "要传什么参数？", "它的参数是什么？"),
    },
    "returns": {
        "en": (
            "And what does it return?",
            "what does it return",
            "What do I get back?",
            "and the return value?",
            "OK. What is its result?",
        ),
        "zh": ("它返回什么？", "返回值是什么", "那它的返回值呢？", "结果是什么？"),
    },
    "raises": {
        "en": (
            "Can it raise an error?",
            "and which errors can it raise",
            "When does it fail?",
            "Which exceptions does it raise?",
        ),
        "zh": ("它会抛出异常吗？", "什么时候会报错", "它会引发什么异常？", "可能有什么异常？"),
    },
    "example": {
        "en": (
            "Can you show an example?",
            "show me an example",
            "How is it used?",
            "Could I see it in use?",
            "An example, please.",
        ),
        "zh": ("能举个例子吗？", "怎么用", "给我看一个例子。", "有示例吗？"),
    },
    "signature": {
        "en": (
            "What is its signature?",
            "and the signature?",
            "show its signature",
            "How is it declared?",
        ),
        "zh": ("它的签名是什么？", "签名呢", "它是怎么声明的？", "写出它的签名。"),
    },
    "import": {
        "en": (
            "How do I import it?",
            "and how do i import it",
            "Which module is it in?",
            "Where do I get it from?",
        ),
        "zh": ("怎么导入它？", "它在哪个模块里", "导入语句怎么写？", "它属于哪个模块？"),
    },
    "describe": {
        "en": (
            "And what does it do?",
            "what does it do",
            "What is it for?",
            "Please explain it briefly.",
        ),
        "zh": ("它是做什么的？", "它有什么用", "请解释一下。", "它是干什么的？"),
    },
}

THINGS: dict[Language, dict[str, str]] = {
    "en": {
        "function": "function",
        "class": "class",
        "method": "method",
        "property": "property",
        "module": "module",
    },
    "zh": {
        "function": "函数",
        "class": "类",
        "method": "方法",
        "property": "属性",
        "module": "模块",
    },
}
