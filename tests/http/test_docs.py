"""The page for people: all that the document says, as HTML that lets nothing else in."""

import re
import shlex
from base64 import b64encode
from collections.abc import AsyncGenerator
from hashlib import sha256
from html.parser import HTMLParser

import pytest
import pytest_asyncio
from httpx2 import Response

from entitlements.http.docs.page import curl, page
from entitlements.http.docs.schemas import words
from entitlements.http.docs.style import STYLE
from entitlements.sandbox.shapes import Body
from tests.support.bodies import event, subscription
from tests.support.service import OPERATE, Service
from tests.support.stripes import serving_beside_stripe

EVIL = "<script>alert(1)</script>\"'&`<b>`"
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Reads a page; fails where a tag is not closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open = list[str]()
        self.tags = set[str]()
        self.ids = list[str]()
        self.links = set[str]()
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of a tag, and of what it names or leads to."""
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith(("on", "src", "style")), name
            if name == "id":
                self.ids.append(value or "")
            if name == "href":
                self.links.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        """See that it ends what was opened last."""
        assert self.open.pop() == tag


@pytest_asyncio.fixture
async def service(store_url: str) -> AsyncGenerator[Service]:
    """Give the service on an empty store, and a sandbox Stripe behind it."""
    async with serving_beside_stripe(store_url) as found:
        yield found


@pytest.mark.asyncio
async def test_the_page_is_whole_and_alone(service: Service) -> None:
    """Every tag is closed, every link leads to something on it, and nothing is loaded from anywhere."""
    said = await service.http.get("/docs")
    assert (said.status_code, said.headers["content-type"]) == (200, "text/html; charset=utf-8")
    read = Reader(said.text)
    assert not {"script", "img", "link", "iframe", "form", "base"} & read.tags
    assert len(read.ids) == len(set(read.ids))
    assert read.links <= {f"#{name}" for name in read.ids} | {"/openapi.json"}


@pytest.mark.asyncio
async def test_every_call_and_every_struct_is_on_it(service: Service) -> None:
    """What the document has, the page has, under a heading that can be linked to."""
    document = (await service.http.get("/openapi.json")).json()
    read = Reader((await service.http.get("/docs")).text)
    calls = {call["operationId"] for path in document["paths"].values() for call in path.values()}
    structs = {f"schema-{name}" for name in document["components"]["schemas"]}
    assert set(read.ids) == calls | structs


@pytest.mark.asyncio
async def test_a_browser_is_told_to_let_nothing_else_in(service: Service) -> None:
    """No script at all, and no style but the page's own, which is named by its digest."""
    said = await service.http.get("/docs")
    (style,) = re.findall("<style>(.*?)</style>", said.text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = said.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", f"style-src 'sha256-{digest}'"} <= set(policy)
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert said.headers["x-content-type-options"] == "nosniff"


def test_whatever_the_document_says_is_text_on_the_page() -> None:
    """Nothing in it becomes markup, wherever it stands."""
    schema = {
        "description": EVIL,
        "properties": {
            EVIL: {"type": EVIL, "pattern": EVIL, "default": EVIL},
            "b": {"enum": [EVIL]},
        },
    }
    call = {
        "operationId": EVIL,
        "tags": ["t"],
        "description": EVIL,
        "security": [{"bearer": [EVIL]}],
        "parameters": [{"name": EVIL, "in": EVIL, "required": True, "schema": {"$ref": EVIL}}],
        "requestBody": {"content": {EVIL: {"schema": {}, "example": EVIL}}},
        "responses": {EVIL: {"description": EVIL, "content": {EVIL: {"schema": schema}}}},
    }
    document = {
        "info": {"title": EVIL, "summary": EVIL, "version": EVIL},
        "tags": [{"name": "t", "description": EVIL}],
        "paths": {EVIL: {"get": call}},
        "components": {"schemas": {EVIL: schema}},
    }
    html = page(document, STYLE)
    assert "script" not in Reader(html).tags
    assert "b" not in Reader(html).tags


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({}, "anything"),
        ({"type": "integer", "minimum": 0}, "integer (at least 0)"),
        ({"type": "integer", "maximum": 9, "default": 1}, "integer (at most 9), else 1"),
        ({"type": "string", "minLength": 1, "maxLength": 2}, "string (1 to 2 characters)"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"type": "object", "additionalProperties": {"type": "null"}}, "object of null"),
        ({"type": "object", "additionalProperties": False}, "object"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"allOf": [{"$ref": "#/x/A"}, {"$ref": "#/x/B"}]}, "A and B"),
        ({"enum": ["a", 1]}, '"a" or 1'),
        ({"type": "string", "pattern": "^a$"}, "string (like ^a$)"),
    ],
)
def test_a_schema_in_words(schema: Body, said: str) -> None:
    """Short enough for a cell of a table."""
    assert re.sub("<[^>]*>", "", words(schema)).replace("&quot;", '"') == said


async def pasted(service: Service, line: str) -> Response:
    """Do what a line with curl does."""
    line = line.replace("$SERVICE", "").replace("$TOKEN", OPERATE)
    curl, *given, url = shlex.split(line)
    assert curl == "curl"
    options = dict.fromkeys(("-X", "--data-binary")) | dict(
        zip(given[::2], given[1::2], strict=True)
    )
    headers = [
        (name, value)
        for option, said in zip(given[::2], given[1::2], strict=True)
        if option == "-H"
        for name, value in [said.split(": ", 1)]
    ]
    body = options["--data-binary"]
    method = options["-X"] or ("GET" if body is None else "POST")
    content = body.encode() if body is not None else None
    return await service.http.request(method, url, headers=headers, content=content)


@pytest.mark.asyncio
async def test_the_lines_to_paste_work(service: Service) -> None:
    """Each call's example is answered; a delivery wants a signature, and what a path names may not be there."""
    await service.deliver(event(subscription()))
    document = (await service.http.get("/openapi.json")).json()
    for path, of_path in document["paths"].items():
        for method, call in of_path.items():
            if "text/event-stream" in call["responses"].get("200", {}).get("content", {}):
                continue  # it has no end
            said = await pasted(service, curl(method, path, call))
            asks_for_a_signature = path == "/webhooks/stripe" and said.status_code == 400
            missing = "{" in path and said.status_code == 404
            assert said.is_success or asks_for_a_signature or missing, (path, said.text)


def test_a_line_to_paste_names_what_has_to_be_filled_in() -> None:
    """A required parameter becomes a variable; a method that curl would not take by itself is named."""
    required = [
        {"name": "reason", "in": "query", "required": True},
        {"name": "x", "in": "path", "required": True},
    ]
    call: Body = {"parameters": required, "security": []}
    assert curl("delete", "/a/{x}", call) == 'curl -X DELETE "$SERVICE/a/id_1?reason=$REASON"'
    assert curl("post", "/a", {"parameters": [], "security": []}) == 'curl -X POST "$SERVICE/a"'
