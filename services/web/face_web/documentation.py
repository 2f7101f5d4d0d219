"""The documentation that the service brings along: its calls and its error codes. No outside host is asked."""

import html
import re
from importlib import resources
from typing import Any

import flask_openapi3_swagger
from flask import Blueprint, Response, jsonify, send_from_directory
from flask_openapi3 import OpenAPI

_SWAGGER = "templates/swagger"
_CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets styles of its own
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
{head}
</head>
<body>
{body}
</body>
</html>
"""
_STYLE = """<style>
:root { color-scheme: light dark; background: Canvas; color: CanvasText; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h2 { font: 600 1.05rem ui-monospace, monospace; margin: 2rem 0 .25rem; }
h2:target { background: Mark; color: MarkText; }
p { margin: .25rem 0 1rem; }
a { color: LinkText; }
</style>"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#calls",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  persistAuthorization: false,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
"""
_SECTION = re.compile(r"^### ([a-z-]+)\n\n(.*?)(?=\n#|\Z)", re.MULTILINE | re.DOTALL)


def blueprint(app: OpenAPI) -> Blueprint:
    """The pages for this application."""
    routes = Blueprint("documentation", __name__)
    folder = str(resources.files(flask_openapi3_swagger) / _SWAGGER)
    errors = _errors_page((resources.files("face_web") / "pages" / "errors.md").read_text(encoding="utf-8"))

    @routes.get("/openapi.json")
    def openapi() -> Response:
        return jsonify(_without_null_defaults(app.api_doc))

    @routes.get("/docs")
    def calls() -> Response:
        head = '<link rel="stylesheet" href="/docs/swagger/css/swagger-ui.css">'
        scripts = ("swagger/js/swagger-ui-bundle.js", "start.js")
        tags = "\n".join(f'<script src="/docs/{script}"></script>' for script in scripts)
        return _page("Elastic Face Recognition: the calls", head, f'<div id="calls"></div>\n{tags}')

    @routes.get("/docs/start.js")
    def start() -> Response:
        return Response(_START, mimetype="text/javascript")

    @routes.get("/docs/swagger/<path:name>")
    def swagger(name: str) -> Response:
        return send_from_directory(folder, name, max_age=86400)

    @routes.get("/docs/errors")
    def error_codes() -> Response:
        return _page("Error codes", _STYLE, errors)

    return routes


def _page(title: str, head: str, body: str) -> Response:
    response = Response(_PAGE.format(title=title, head=head, body=body), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _CSP
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _without_null_defaults(part: Any) -> Any:
    """The document without what pydantic says of parameters that may be left out: that they are null then."""
    if isinstance(part, dict):
        kept = {name: value for name, value in part.items() if name != "default" or value is not None}
        return {name: _without_null_defaults(value) for name, value in kept.items()}
    return [_without_null_defaults(value) for value in part] if isinstance(part, list) else part


def _errors_page(text: str) -> str:
    """The page of error codes, a section with an anchor each, out of its Markdown."""
    sections = "\n".join(
        f'<h2 id="{code}">{code}</h2>\n<p>{_inline(" ".join(about.split()))}</p>'
        for code, about in _SECTION.findall(text)
    )
    return f'<h1>Error codes</h1>\n<p><a href="/docs">All calls</a></p>\n{sections}'


def _inline(text: str) -> str:
    """Markdown's code spans and links, of which the links lead nowhere here."""
    safe = html.escape(text, quote=False)
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", safe))
