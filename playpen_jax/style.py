"""The look of the report in one place: calm colours for light and dark pages, charts, chat bubbles, layout."""

COLORS = 7  # of lines: s0..s6, the last one grey

PALETTE = """
:root{--card:#fff;--ink:#22211f;--soft:#6e6b65;--line:#e7e4de;
--s0:#2a78d6;--s1:#e0612c;--s2:#17976a;--s3:#6a5ac4;--s4:#d6403f;--s5:#c98a00;--s6:#8d8a83}
@media(prefers-color-scheme:dark){:root{--card:#1e1e1c;--ink:#eceae4;--soft:#a5a29a;--line:#35342f;
--s0:#5b9ef0;--s1:#ef8354;--s2:#3dbb8b;--s3:#a097ee;--s4:#ee7473;--s5:#dba52f;--s6:#918e86}}
"""

CHART = """
.chart{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}.chart text{fill:var(--soft)}
.chart .grid{stroke:var(--line)}.chart path,.chart line{fill:none}.chart .line{stroke-width:2;stroke-linejoin:round}
.chart .raw{stroke-width:3;stroke-linecap:round;opacity:.3}.chart .thin{stroke-width:1;opacity:.45}
.chart .dash{stroke-width:1;stroke-dasharray:2 3}.chart .error{stroke-width:1.5}
.chart circle{stroke:var(--card);stroke-width:1.5}.chart .area{stroke:var(--card);stroke-width:1}
""" + "".join(f".chart .s{i}{{stroke:var(--s{i})}}.chart .f{i}{{fill:var(--s{i})}}\n" for i in range(COLORS))

BUBBLES = """
.episode{min-width:0}.turn{display:flex;flex-direction:column;gap:6px;margin:10px 0}
.bubble{max-width:88%;padding:8px 12px;border-radius:14px;overflow:hidden;font-size:14px;line-height:1.45}
.bubble .who{display:block;font-size:11.5px;color:var(--soft);margin-bottom:2px}
.bubble .said{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;display:block}
.asked{align-self:flex-start;background:var(--shade);border-bottom-left-radius:4px}
.reply{align-self:flex-end;border-bottom-right-radius:4px;background:color-mix(in srgb,var(--seat) 13%,var(--card))}
.reply .who{color:color-mix(in srgb,var(--seat) 70%,var(--ink))}
.seat0{--seat:var(--s0)}.seat1{--seat:var(--s2)}.seat2{--seat:var(--s3)}.seat3{--seat:var(--s5)}
.note{font-size:12px;color:var(--soft);font-style:italic}.bubble details .said{margin-top:6px}
.bubble summary{overflow-wrap:anywhere}
.end{display:flex;flex-wrap:wrap;gap:8px;align-items:baseline;font-size:14px;border-top:1px solid var(--line);padding-top:10px}
.badge{font-size:12px;font-weight:600;padding:2px 9px;border-radius:99px;white-space:nowrap}
.badge{color:color-mix(in srgb,var(--is) 75%,var(--ink));background:color-mix(in srgb,var(--is) 14%,var(--card))}
.success{--is:var(--s2)}.lose{--is:var(--s6)}.aborted{--is:var(--s1)}
"""

PAGE = """
:root{--page:#f6f5f1;--shade:#f1efea;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--page:#141413;--shade:#292826}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1160px;margin:0 auto;padding:48px 20px 80px}
h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:20px;margin:52px 0 4px}h3{font-size:15px;margin:28px 0 10px}
p{margin:0 0 12px}.soft{color:var(--soft)}.lead{margin-bottom:18px}
pre{background:var(--shade);padding:10px 14px;border-radius:10px;font-size:13px;margin:0 0 12px}
pre{white-space:pre-wrap;overflow-wrap:anywhere}pre span{display:inline-block}
code,pre{font-family:ui-monospace,Menlo,Consolas,monospace}
summary{cursor:pointer}summary:hover{color:var(--s0)}
nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:18px 0 26px}
a{color:var(--s0);text-decoration:none}a:hover{text-decoration:underline}
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:14px 16px;min-width:0}
.grid{display:grid;gap:14px;grid-template-columns:repeat(auto-fill,minmax(min(330px,100%),1fr))}
.tiles{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(150px,1fr))}
.tile b{display:block;font-size:28px;font-weight:600;line-height:1.25;letter-spacing:-.01em}.tile .soft{font-size:13.5px}
.figure{margin:0;padding-bottom:8px}.figure figcaption{display:flex;justify-content:space-between;gap:10px;align-items:baseline}
.figure b{font-size:14px;font-weight:600;overflow-wrap:anywhere}.figure figcaption span{font-size:12px;color:var(--soft)}
.legend{display:flex;flex-wrap:wrap;gap:0 12px;font-size:12px;color:var(--soft);min-height:19px;margin-bottom:4px}
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:5px}.legend .dot{border-radius:50%}
.scroll{overflow-x:auto;padding:4px 0}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th,td{padding:8px 12px;text-align:right;white-space:nowrap}th{font-weight:500;color:var(--soft);font-size:12.5px}
td{border-top:1px solid var(--line)}th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--card)}
tr.all td{font-weight:600;border-top:2px solid var(--line)}.up{color:var(--s2)}.down{color:var(--s1)}
.bar{display:flex;align-items:center;gap:8px;font-size:12px;color:var(--soft)}
.bar i{height:8px;border-radius:4px;background:var(--is,var(--s6))}.bar.old i{opacity:.4}
.cause{margin:10px 0}.cause p{margin:0;font-size:13.5px;overflow-wrap:anywhere}
.settings{columns:330px;font-size:12.5px;margin-top:10px}.settings div{overflow-wrap:anywhere;break-inside:avoid}
.sample{margin-bottom:12px}.sample>summary{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline}
.two{display:grid;gap:14px 34px;grid-template-columns:repeat(auto-fit,minmax(min(330px,100%),1fr));margin-top:16px}
.two h3{margin:0}
@media(max-width:600px){main{padding:28px 14px 60px}h1{font-size:25px}.card{padding:12px}th,td{padding:8px}
.two-steps :is(th,td):nth-child(3){display:none}}
"""


def document(title: str, body: str, more: str = "") -> str:
    """A page with our look, whole in itself; the title and the body are HTML already, `more` is further CSS."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{PALETTE}{CHART}{BUBBLES}{PAGE}{more}</style>\n"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def sections(parts: dict[str, str]) -> str:
    """Links to the sections that have something to show, then these."""
    there = [(f"part{i}", title, body) for i, (title, body) in enumerate(parts.items()) if body]
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title, _ in there)
    shown = "".join(f'<section id="{anchor}"><h2>{title}</h2>{text}</section>' for anchor, title, text in there)
    return f"<nav>{links}</nav>{shown}"
