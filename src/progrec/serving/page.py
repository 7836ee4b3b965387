"""The page that describes the service and sends its examples: Swagger UI, as BentoML ships it.

BentoML's own page runs a script of Google's, and Swagger UI asks a server elsewhere whether the
description is valid. From here a visitor's browser is sent nowhere, and is told to see to that.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

import progrec

POLICY = {"Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:"}

# The addresses are relative, so that it also works below a prefix.
HTML = f"""<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>{progrec.__name__}</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="static_content/swagger-ui.css">
    <style>
      body {{ margin: 0 }}
      .swagger-ui .servers-title, .swagger-ui .servers, .swagger-ui .operation-servers {{
        display: none /* there is one */
      }}
      .swagger-ui .body-param__text {{ min-height: 130px }}
    </style>
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="static_content/swagger-ui-bundle.js"></script>
    <script>
      SwaggerUIBundle({{
        url: "docs.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null
      }})
    </script>
  </body>
</html>
"""


def page(_request: Request) -> HTMLResponse:
    """Answers /docs."""
    return HTMLResponse(HTML, headers=POLICY)


def home(_request: Request) -> RedirectResponse:
    """Answers /, where there is nothing else to see."""
    return RedirectResponse("docs")
