"""Small English grammar for quoting documentation: "Return it." becomes "returns it."."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Words that documentation opens with and that are verbs there. Those that are as often nouns
# ("Test", "List", "Set", …) are trusted only before a determiner or a plural, see `_is_verb`.
_VERBS = frozenset(
    """
    accept acquire add adjust advance align allocate allow alter analyze append apply arrange ask
    assemble assert assign associate attach attempt authenticate begin bind blend broadcast build
    calculate call cancel capture cast change check choose clean clear clip close coerce collapse
    collect combine compare compile complete compress compute concatenate configure connect
    construct consume convert copy count create customize cut decide declare decode decompress
    decorate decrease decrypt define delegate delete delimit derive describe deserialize destroy
    detach detect determine differentiate disable disallow discard disconnect dispatch display
    divide download draw drop dump duplicate emit enable encode encrypt ensure enter enumerate erase
    escape establish estimate evaluate examine exchange execute exit expand export extend extract
    feed fetch fill filter finalize find finish fit fix flatten flip flush force format freeze
    gather generate get give group guess handle hide highlight identify ignore import include
    increase increment indicate infer inform initialize insert inspect install instantiate
    instruct integrate interpolate interpret intersect invert invoke iterate join keep kill launch
    leave limit link list load locate lock log look lookup make manage map mark mask match measure
    merge modify monitor move multiply negate normalize notify obtain open order output override
    overwrite pack pad parse partition pass paste patch pause perform permute pick place plot pop
    populate position prepare prepend preserve print process produce project prompt propagate
    provide prune publish pull push put query quote raise randomize read rebuild receive record
    redirect reduce refresh register reject release reload remove rename render reorder repeat
    replace report represent request require reset reshape resize resolve restore restrict resume
    retrieve return reverse revert rewrite roll rotate round run sample save scale scan schedule
    search select send separate serialize serve set shift show shuffle shut simplify simulate skip
    slice solve sort specify split squeeze stack start stop store strip submit substitute subtract
    sum suppress swap switch synchronize take terminate test toggle tokenize track train transform
    translate transmit transpose traverse trim truncate try tune turn undo unescape uninstall
    unload unlock unpack unquote unregister unwrap update upload use validate verify visit wait walk
    warn wrap write yield zip
    """.split()  # noqa: SIM905
)
_OFTEN_NOUNS = frozenset(
    """
    cast change check copy count cut display draw drop dump exit export feed filter fit fix force
    format guess import index link list load log look make map mark mask match measure order output
    override pack pad patch place plot position process project query quote record reset request
    return roll round run sample scale scan search set shift show slice sort split stack start stop
    store sum switch test track transform turn update use visit wait walk wrap zip group lock
    """.split()  # noqa: SIM905
)
_OPENERS = frozenset(
    """
    a an the all any each every this that these those its their it them one two several some no
    whether if that for from in to up by on as at with out how what which whose when where into and
    or multiple many data new
    """.split()  # noqa: SIM905
)
_NOUN_FOLLOWERS = frozenset("of class type object function method for is are case cases".split())  # noqa: SIM905
_FINITE = re.compile(
    r"\b(?:is|are|was|has|have|can|may|will|does|represents?|provides?|contains?|returns?|gives?|"
    r"implements?|defines?|allows?|makes?|takes?|specifies|describes?|handles?|holds?|uses?)\b"
)
# "A network error occurred.": a sentence, whatever stands before the verb.
_PAST = re.compile(
    r"\b(?:had|was|were|did|occurr?(?:ed|s)|failed|happened|went|timed|must|could)\b"
)
_IRREGULAR = {"do": "does", "have": "has", "go": "goes", "be": "is"}


def third_person(verb: str) -> str:
    """ "copy" -> "copies", "push" -> "pushes", "return" -> "returns"."""
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ies"
    if verb in ("quiz", "zip"):
        return verb + "s"
    if re.search(r"(?:s|sh|ch|x|z|o)$", verb):
        return verb + "es"
    return verb + "s"


_THIRD = {third_person(verb): verb for verb in _VERBS}
_ITSELF = re.compile(
    r"This (?:function|method|class|property|attribute|decorator|exception|module) "
)
_AND_RETURN = re.compile(r"\b(and|then) return(?= )")
_VERB_LATER = re.compile(
    r"(?:\b(?:and|or|then|but|and then|and/or)|[,;]) (?:then |also )?(\w+)", re.IGNORECASE
)


def as_predicate(sentence: str) -> str:
    """The sentence as what follows a name: "returns the base name.", or "" where unsure.

    Imperatives and third persons are turned; a phrase that begins with an article becomes
    "is a …" where it has no verb of its own. In "Get … and return …" both verbs are turned; other
    sentences with a second imperative are left alone, as turning only one would read wrong.
    """
    about_itself = _ITSELF.match(sentence)
    if about_itself:
        sentence = sentence[about_itself.end() :]
        if sentence.startswith(("is ", "can ")):
            return sentence
    words = sentence.split()
    if len(words) < 3:
        return ""
    first = words[0].lower()
    rest = sentence[len(words[0]) :]
    if about_itself and first not in _THIRD:
        return ""
    if first in _THIRD and words[1].lower() not in _NOUN_FOLLOWERS:
        return "" if _later_verb(rest) else first + rest
    if first in _VERBS and _is_verb(first, words[1]):
        if _later_verb(_AND_RETURN.sub("", rest)):
            return ""
        return third_person(first) + _AND_RETURN.sub(r"\1 returns", rest)
    if first in ("a", "an"):
        head = re.split(
            r"\b(?:that|which|for|of|to|with|where|used|whose)\b|,", sentence, maxsplit=1
        )[0]
        own_verb = _FINITE.search(head) or _PAST.search(sentence) or ":" in sentence
        return "" if own_verb else f"is {first}{rest}"
    return ""


def _is_verb(word: str, following: str) -> bool:
    following = following.lower().strip("`,")
    if following in _NOUN_FOLLOWERS and not (word == "search" and following == "for"):
        return word in ("look", "wait", "ask", "test", "check") and following == "for"
    if word not in _OFTEN_NOUNS:
        return True
    return following in _OPENERS or word == "return" or following.endswith("s")


def _later_verb(text: str) -> bool:
    """Whether another imperative or third person follows a conjunction or comma."""
    return any(
        found.lower() in _VERBS or found.lower() in _THIRD or found.lower() in ("do", "does")
        for found in _VERB_LATER.findall(text)
    ) or bool(re.search(r"\bdo(?:es)? not\b|\bdon't\b", text[:40]))


def is_imperative(sentence: str) -> bool:
    """Whether a sentence begins with a verb of the list, as in "Store the result."."""
    words = sentence.split()
    return bool(words) and words[0].lower() in _VERBS


def lower_first(phrase: str) -> str:
    """Lower the first letter of an ordinary word ("A list" -> "a list"), not of a name."""
    word = phrase.split(" ", 1)[0]
    if word.lower() in _OPENERS and not (len(word) > 1 and word.isupper()):
        return phrase[0].lower() + phrase[1:]
    return phrase


def join_list(items: Sequence[str], *, last: str = " and ", between: str = ", ") -> str:
    """ "a", "a and b", "a, b and c"."""
    if len(items) < 2:
        return "".join(items)
    return between.join(items[:-1]) + last + items[-1]


def number_word(number: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[number] if 0 <= number < len(words) else str(number)
