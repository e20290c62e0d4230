"""The frame of our pages: how they look, light and dark, from a phone to a wide screen.

Nothing may be loaded by them, whatever a name in a page may say.
"""

from __future__ import annotations

import html
from typing import Final

from conch import __version__

_STYLE: Final = """
:root{--fg:#1a1d21;--soft:#5a626c;--bg:#fff;--panel:#f6f7f9;--line:#dfe3e8;--grid:#e6e9ed;
--demand:#9db4cf;--capacity:#0b5cad;--p99:#6b3fa0;--target:#b42318;--late:#d92d20;--warn:#f79009;
--cost:#c6ccd4;--ok:#067647;--no:#b42318;--bar:0%;--barfill:#dbe8f6}
@media(prefers-color-scheme:dark){:root{--fg:#e8eaed;--soft:#a3abb5;--bg:#14171b;--panel:#1d2126;
--line:#343a42;--grid:#2b3138;--demand:#465f7d;--capacity:#6cb2f7;--p99:#c4a3f0;--target:#f97066;
--late:#f97066;--warn:#fdb022;--cost:#4a525d;--ok:#47cd89;--no:#f97066;--barfill:#23405f}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,"Segoe UI",
Roboto,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1240px;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem}h3{font-size:1.05rem;margin:0}
p{margin:.4rem 0}.lead{font-size:1.1rem;max-width:48rem}
.note{border-left:4px solid var(--warn);padding:.2rem .8rem;max-width:48rem}
.terms,.what,footer{color:var(--soft);font-size:.875rem}
.terms{max-width:48rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.45rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child{text-align:left}thead th{color:var(--soft);font-weight:500;font-size:.875rem}
td[style]{background:linear-gradient(90deg,var(--barfill) var(--bar),transparent var(--bar))}
.ok{color:var(--ok)}.no{color:var(--no)}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,380px),1fr));gap:1rem}
.card{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:.8rem;
min-width:0;max-width:620px}
.facts{font-weight:600;font-variant-numeric:tabular-nums}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.875rem}
.legend span{display:inline-flex;align-items:center;gap:.4rem}
.legend i{width:1.4rem;height:0;border-top:3px solid}
.legend .k-demand{height:.7rem;border:0;background:var(--demand)}
.legend .k-late{height:.7rem;border:0;background:var(--late)}
.legend .k-capacity{border-color:var(--capacity)}
.legend .k-wanted{border-top:2px dashed var(--capacity)}.legend .k-p99{border-color:var(--p99)}
.legend .k-target{border-top:2px dashed var(--target)}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
svg .h{font-size:12px;font-weight:600;fill:var(--fg)}
svg .e{text-anchor:end}svg .m{text-anchor:middle}
svg path{fill:none;stroke-width:1.5;stroke-linejoin:round}
svg .g{stroke:var(--grid);stroke-width:1}
svg .demand{fill:var(--demand);stroke:none}svg .capacity{stroke:var(--capacity)}
svg .wanted{stroke:var(--capacity);stroke-dasharray:3 2;stroke-width:1}
svg .p99{stroke:var(--p99)}svg .target{stroke:var(--target);stroke-dasharray:5 3}
svg .late{fill:var(--late);stroke:none}svg .cost{fill:var(--cost);stroke:none}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem;margin:0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
footer{margin:2rem 0 1rem}
@media(max-width:640px){
.result thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.result,.result tbody,.result tr{display:block}
.result tr{border:1px solid var(--line);border-radius:10px;padding:.5rem .8rem;margin:.6rem 0;
display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:0 1rem}
.result th{grid-column:1/-1;border:0;padding:.2rem 0;font-size:1.05rem;white-space:normal}
.result td{display:flex;justify-content:space-between;align-items:baseline;gap:.4rem;border:0;
padding:.15rem 0;font-size:.9375rem}
.result td::before{content:attr(data-name);color:var(--soft);font-size:.8125rem}
td[style]{background:none}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.5rem}}
@media(max-width:370px){.result tr{grid-template-columns:1fr}}
@media print{.card{break-inside:avoid}}
""".replace("\n", "")


def text(value: str) -> str:
    """Safe as text and in an attribute."""
    return html.escape(value, quote=True)


def document(title: str, command: str, body: str, *, style: str = "", stamp: str = "") -> str:
    """The whole page: ``body`` is HTML and follows the title; ``stamp`` follows our version."""
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        '<meta name=color-scheme content="light dark">'
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none';"
        " style-src 'unsafe-inline'\">"
        f"<title>{text(title)} – conch {command}</title><style>{_STYLE}{style}</style></head>"
        f"<body><main><h1>{text(title)}</h1>{body}"
        f"<footer>conch {__version__}{text(stamp)}</footer></main></body></html>\n"
    )
