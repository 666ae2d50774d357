"""Websocket URL table; each line points at an app's consumers.py."""

from __future__ import annotations

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import path, re_path

from analytics.consumers import RequestsConsumer


class NoSuchSocket(AsyncWebsocketConsumer):
    """Refuse what no line below names; the router would raise, and fill the log with whatever strangers try."""

    async def connect(self) -> None:
        """Refuse."""
        await self.close()


websockets = URLRouter(
    [
        path("ws/t/<str:slug>/requests/", RequestsConsumer.as_asgi()),
        re_path(r"", NoSuchSocket.as_asgi()),
    ]
)
