"""How the page looks: the system's own letters, one column, light or dark as the reader's system is."""

STYLE = """
:root { color-scheme: light dark; --ink: #1d232b; --soft: #5b6672; --paper: #fff; --wash: #f4f6f8; --line: #dde2e8;
  --link: #0b57b7; --get: #1a7f4b; --write: #a14a00 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e8ee; --soft: #98a4b1; --paper: #14181d; --wash: #1d232a; --line: #333c46;
    --link: #7db4ff; --get: #58c58d; --write: #f0a35e }
}
* { box-sizing: border-box }
html { scroll-behavior: smooth; scroll-padding-top: 1rem }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.25rem 6rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.6 system-ui, sans-serif }
h1, h2, h3, h4 { line-height: 1.25; text-wrap: balance }
h1 { margin: 0; font-size: 2rem }
h2 { margin: 3.5rem 0 .25rem; font-size: 1.4rem }
h3 { margin: 0; font-size: 1.05rem; overflow-wrap: anywhere }
h4 { margin: 1.25rem 0 .4rem; font-size: .8rem; color: var(--soft); letter-spacing: .05em; text-transform: uppercase }
p { margin: .5rem 0 }
a { color: var(--link); text-underline-offset: .15em }
code, pre { font: .875em/1.55 ui-monospace, Menlo, Consolas, monospace }
pre { margin: .4rem 0; padding: .8rem 1rem; overflow-x: auto; background: var(--wash); border-radius: .4rem }
nav ul { margin: .2rem 0 1rem; padding: 0; list-style: none }
nav li { padding: .1rem 0; overflow-wrap: anywhere }
article { margin: 1.25rem 0; padding: 1.1rem 1.25rem; border: 1px solid var(--line); border-radius: .6rem }
.scroll { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-size: .93rem }
th, td { padding: .4rem .75rem .4rem 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line) }
th { font-weight: 600; white-space: nowrap }
.method { display: inline-block; min-width: 3.6em; color: var(--write); font-weight: 700 }
.get { color: var(--get) }
.soft { color: var(--soft) }
"""
