"""How a report looks: on a screen by day and night, on a phone, on paper."""

_LIGHT = """--page:#fff;--card:#f6f7f9;--ink:#1a1d21;--muted:#565d66;--faint:#c9ced6;--accent:#2b6cb0;--band:#e3e7ed;
--fair:#1a1d21;--good:#1d7a46;--notice:#2b6cb0;--warning:#b25400;--critical:#c02020;
--c1:#0062a3;--c2:#b25400;--c3:#00795c;--c4:#a0417f;--c5:#5b4bb5;--c6:#6a6a00;--flow:#2b6cb0"""
_DARK = """--page:#14171b;--card:#1d2126;--ink:#e8eaed;--muted:#a5adb8;--faint:#454c56;--accent:#5b9ddb;--band:#2f363f;
--fair:#e8eaed;--good:#56c288;--notice:#5b9ddb;--warning:#f0a040;--critical:#ff7a70;
--c1:#56b4e9;--c2:#e69f00;--c3:#2fbf95;--c4:#dd8fbf;--c5:#b3a6ff;--c6:#cfcf55;--flow:#5b9ddb"""

STYLE = (
    f"""
:root{{color-scheme:light dark;{_LIGHT}}}
@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}
:root[data-theme=light]{{color-scheme:light;{_LIGHT}}}
:root[data-theme=dark]{{color-scheme:dark;{_DARK}}}
@media print{{:root,:root[data-theme]{{color-scheme:light;{_LIGHT}}}}}
"""
    + """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:64rem;padding:1rem 1.25rem 3rem;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 .25rem}
h2{font-size:1.3rem;margin:2.5rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--faint)}
h3{font-size:1.05rem;margin:1.75rem 0 .5rem}
p{margin:.4rem 0;max-width:52rem}
.lead,.hint,figcaption,caption{color:var(--muted)}
.hint,figcaption{font-size:.87rem}
code{overflow-wrap:anywhere;font:.92em ui-monospace,"DejaVu Sans Mono",monospace}
ul{margin:.4rem 0;padding-left:1.3rem}
nav{margin:.75rem 0;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem}
a{color:var(--accent)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:.8rem 0}
.card{background:var(--card);border-radius:.5rem;padding:.55rem .8rem}
.card b{display:block;font-size:1.2rem;line-height:1.35;font-weight:600;overflow-wrap:anywhere}
.card span{color:var(--muted);font-size:.85rem}
.sides{grid-template-columns:repeat(auto-fit,minmax(11rem,1fr))}
.sides span{display:block;margin-top:.2rem}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr));gap:1.1rem 1.6rem}
figure{margin:.5rem 0;min-width:0}
figure h4{margin:0 0 .2rem;font-size:.95rem}
.chart{display:block;width:100%;height:auto}
.chart text{font-family:inherit!important}
.chart image{image-rendering:pixelated}
.chart.narrow{display:none}
.flow{min-width:40rem}
.flow text{font-size:12px;fill:var(--ink)}
.flow .station,.flow .note{fill:var(--muted);font-size:11.5px}
.flow .name{font-weight:600}
.flow .node{fill:var(--card);stroke:var(--faint)}
.flow .acceptor{stroke:var(--c1)}.flow .reader{stroke:var(--c3)}.flow .writer{stroke:var(--c4)}
.flow .nobody{stroke-dasharray:4 3}
.flow .filled{fill:var(--flow);opacity:.35}.flow .high{fill:var(--critical)}
.flow .band{fill:var(--flow);opacity:.28}
.scale{display:inline-block;width:6rem;height:.7rem;vertical-align:-.05rem;margin:0 .3rem;border:1px solid var(--faint);
background:linear-gradient(90deg,rgba(224,107,13,.03),rgb(224,107,13))}
.scroll{overflow-x:auto}
.sideways{display:none}
table{border-collapse:collapse;font-size:.87rem;margin:.4rem 0;min-width:50%}
caption{text-align:left;padding-bottom:.2rem}
th,td{padding:.22rem .7rem .22rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--faint)}
td:first-child{min-width:6.5rem}
th{font-weight:600;white-space:nowrap}
th.num{white-space:normal}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
details{margin:.3rem 0}
summary{cursor:pointer;color:var(--accent);font-size:.87rem}
.finding{border-left:.3rem solid var(--muted);background:var(--card);border-radius:0 .5rem .5rem 0;padding:.6rem 1rem;margin:.8rem 0}
.finding h3{margin:0 0 .2rem}
.info{border-color:var(--muted)}.notice{border-color:var(--notice)}.warning{border-color:var(--warning)}.critical{border-color:var(--critical)}
.badge{display:inline-block;font-size:.75rem;font-weight:600;padding:.05rem .5rem;border-radius:1rem;border:1px solid currentColor;
margin-right:.5rem;vertical-align:.1rem}
.badge.info{color:var(--muted)}.badge.notice{color:var(--notice)}.badge.warning{color:var(--warning)}.badge.critical{color:var(--critical)}
.badge.good{color:var(--good)}
.pipes{display:grid;gap:.7rem}
.pipe{font-size:.87rem}
.pipe .bar{display:flex;height:1.15rem;border-radius:.25rem;overflow:hidden;background:var(--card);margin:.15rem 0}
.pipe .bar i{display:block;min-width:1px}
.q{background:var(--c2)}.d{background:var(--c4)}.s{background:var(--c1)}
.key i{display:inline-block;width:.8rem;height:.8rem;border-radius:.15rem;margin:0 .3rem 0 .9rem;vertical-align:-.05rem}
.good{color:var(--good)}.bad{color:var(--critical)}
.sub{display:block;font-size:.8rem;white-space:normal;color:var(--muted)}
.up{color:var(--critical);font-weight:600}.down{color:var(--good);font-weight:600}
@media (max-width:40rem){
body{padding:.5rem .8rem 2rem}
.chart.wide{display:none}.chart.narrow{display:block}
.sideways{display:inline}
.cards{grid-template-columns:repeat(2,1fr)}
}
@media print{
body{max-width:none;padding:0;font-size:10.5pt}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.chart.wide{display:block}.chart.narrow{display:none}
.grid{grid-template-columns:1fr 1fr}
.scroll{overflow:visible}
.flow{min-width:0}
nav,details:not([open]){display:none}
table{font-size:7.5pt;min-width:0}
td:first-child{min-width:0}
th,td,.num{padding-right:.45rem;white-space:normal}
figure,.finding,.pipe,tr{break-inside:avoid}
h2,h3,h4{break-after:avoid}
@page{margin:14mm}
}
"""
)
