"""The page: every call with its parameters, its body, its answers and a line to paste, then every struct."""

import json
import shlex
from collections.abc import Iterator
from html import escape
from typing import Any
from urllib.parse import quote

from entitlements.http.docs.schemas import code, prose, struct, table, words

Document = dict[str, Any]

_NAMES = {
    "customer": "cus_demo",
    "feature": "pro",
    "key": "pro",
    "event": "evt_1",
    "subscription": "sub_1",
}
"""What stands in examples, in the place of a parameter of the path."""


def page(document: Document, style: str) -> str:
    """Return a document as HTML. The style is the page's own, as it is; all else is escaped."""
    info = document["info"]
    parts = [
        f"<header><h1>{escape(info['title'])}</h1><p>{prose(info['summary'])}</p>{_how(info)}</header>",
        f"<nav>{''.join(_contents(document))}</nav>",
        *(_section(tag, document) for tag in document["tags"]),
        "<section><h2>Structs</h2>",
        *(struct(name, said) for name, said in document["components"]["schemas"].items()),
        "</section>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])}</title><style>{style}</style></head>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _how(info: Document) -> str:
    return (
        f'<p class="soft">Version {escape(info["version"])}, '
        'as <a href="/openapi.json">OpenAPI 3.1</a>.</p>'
        f"<p>{prose('The examples take the address from `$SERVICE` and a bearer token from `$TOKEN`.')}</p>"
    )


def _calls(document: Document, tag: str) -> Iterator[tuple[str, str, Document]]:
    for path, operations in document["paths"].items():
        for method, call in operations.items():
            if tag in call["tags"]:
                yield method, path, call


def _contents(document: Document) -> Iterator[str]:
    for tag in document["tags"]:
        items = [
            f'<li>{_method(method)} <a href="#{escape(call["operationId"])}">{code(path)}</a></li>'
            for method, path, call in _calls(document, tag["name"])
        ]
        yield f"<h4>{escape(tag['name'])}</h4><ul>{''.join(items)}</ul>"


def _section(tag: Document, document: Document) -> str:
    calls = [_call(method, path, call) for method, path, call in _calls(document, tag["name"])]
    head = f"<h2>{escape(tag['name'][:1].upper() + tag['name'][1:])}</h2><p>{prose(tag['description'])}</p>"
    return f"<section>{head}{''.join(calls)}</section>"


def _call(method: str, path: str, call: Document) -> str:
    parts = [
        f"<h3>{_method(method)} {code(path)}</h3><p>{prose(call['description'])}</p>",
        f'<p class="soft">{_scope(call)}</p>',
        _under("Parameters", table(map(_parameter, call["parameters"]))),
        _under("Body", table(_contents_of(call.get("requestBody", {})))),
        _under("Answers", table(_answers(call))),
        _under("Example", f"<pre>{escape(curl(method, path, call))}</pre>"),
    ]
    return f'<article id="{escape(call["operationId"])}">{"".join(parts)}</article>'


def _method(method: str) -> str:
    return f'<span class="method {escape(method)}">{escape(method.upper())}</span>'


def _under(heading: str, html: str) -> str:
    return f"<h4>{heading}</h4>{html}" if html else ""


def _scope(call: Document) -> str:
    scopes = [scope for each in call["security"] for scope in each["bearer"]]
    return prose(f"Needs a token of scope `{scopes[0]}`." if scopes else "Needs no token.")


def _parameter(one: Document) -> tuple[str, str, str]:
    place = one["in"] if one["in"] != "path" else "path, required"
    if one["required"] and one["in"] != "path":
        place += ", required"
    said = f"{words(one['schema'])}<br>{prose(one.get('description', ''))}"
    return code(one["name"]), f'<span class="soft">{escape(place)}</span>', said


def _contents_of(said: Document) -> Iterator[tuple[str, str]]:
    for media, content in said.get("content", {}).items():
        yield code(media), words(content["schema"])


def _answers(call: Document) -> Iterator[tuple[str, str, str]]:
    for status, said in call["responses"].items():
        bodies = [f"{kind}: {html}" for kind, html in _contents_of(said)]
        yield escape(status), prose(said["description"]), "<br>".join(bodies)


def curl(method: str, path: str, call: Document) -> str:
    """Return a line of shell that makes a call."""
    headers, query = list[str](), list[str]()
    for one in call["parameters"]:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(_NAMES.get(one["name"], "id_1")))
        elif one["required"]:
            (query if one["in"] == "query" else headers).append(one["name"])
    found = ["curl"]
    found += ['-H "Authorization: Bearer $TOKEN"'] if call["security"] else []
    found += [f'-H "{name}: ${name.upper().replace("-", "_")}"' for name in headers]
    found += _data(method, call)
    asked = "?" + "&".join(f"{name}=${name.upper()}" for name in query) if query else ""
    return " ".join([*found, f'"$SERVICE{path}{asked}"'])


def _data(method: str, call: Document) -> Iterator[str]:
    """Yield what a call with a body adds; without one, the method where curl would take another."""
    for media, content in call.get("requestBody", {}).get("content", {}).items():
        example = content.get("example")
        yield f"-H 'Content-Type: {media}'"
        text = example if isinstance(example, str) else json.dumps(example)
        yield "--data-binary @body" if example is None else f"--data-binary {shlex.quote(text)}"
    if method not in {"get", "post"} or (method == "post" and "requestBody" not in call):
        yield f"-X {method.upper()}"
