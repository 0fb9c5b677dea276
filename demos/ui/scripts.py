"""Gradio's own scripts, spared work that a page of many components makes long.

Three places go through all components of the page for each event, or through all events for each component; Svelte's
proxies make every look slow. What they lead to stays the same. A script of another Gradio in which a place is not found
is left as it is.
"""

import re

__all__ = ["CHANGES", "changed"]

_TOLD = (
    rb"(async update_loading_stati_state\(\)\{)(await Promise\.all\(Object\.entries\(this\.loading_stati\.current\))",
    rb"""\1this.told??={};\2.filter(([id,{status}])=>{const known=status==="complete"&&this.told[id]===status;"""
    rb"""this.told[id]=status;return!known})""",
)
"""At each step of an event every component that ever waited for one is told what that one is at: here not again that it
is over."""
_FOUND = (
    rb"function (\w+)\((\w+),(\w+)\)\{if\(\2\.id===\3\)return \2;if\(\2\.children\)for\(let (\w+) of \2\.children\)"
    rb"\{let \2=\1\(\4,\3\);if\(\2\)return \2\}return null\}",
    rb"""function \1(\2,\3){if(\3==null)return null;const ways=\1.ways??=new Map;const go=()=>{"""
    rb"""let node=ways.has(\3)?\2:null;for(const nth of ways.get(\3)??[])node=node?.children?.[nth];"""
    rb"""return node?.id===\3?node:null};const note=(node,way)=>{ways.set(node.id,way);"""
    rb"""node.children?.forEach((child,nth)=>note(child,[...way,nth]))};return go()??(note(\2,[]),go())}""",
)
"""A component is searched by its id through the whole tree: here the ways are noted, and anew if one is wrong."""
_ATTACHED = (
    rb"(find_attached_events\((\w+),(\w+)\)\{)",
    rb"""\1if(this.sorted?.events!==\3){const own=new Map;for(const event of \3)for(const[target]of event.targets)"""
    rb"""own.has(target)?own.get(target).add(event):own.set(target,new Set([event]));this.sorted={events:\3,own}}"""
    rb"""\3=[...this.sorted.own.get(\2.id)??[]];""",
)
"""Every component looks through all events for its own: here it is given those."""
CHANGES: dict[str, tuple[tuple[bytes, bytes], ...]] = {"Blocks": (_TOLD,), "core": (_FOUND, _ATTACHED)}
"""By the name of a script, without its hash: patterns of the places, and what is there instead."""


def changed(name: str, script: bytes) -> bytes:
    """The script with its changes; `name` is a key of `CHANGES`."""
    for place, instead in CHANGES[name]:
        script = re.sub(place, instead, script)
    return script
