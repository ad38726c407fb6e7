"""The HTTP side: ingest, the JSON API, access control, pages, health.

`services` says what it is given, `application` is the ASGI app, `runner` serves it. Ingest is raw ASGI (`ingest`,
`receiving`); everything else is one table of endpoints (`routes`), each with its permission.
"""
