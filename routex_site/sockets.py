"""Websocket URL table; each line points at an app's consumers.py."""

from channels.routing import URLRouter
from django.urls import path

from analytics.consumers import RequestsConsumer

websockets = URLRouter(
    [
        path("ws/t/<str:slug>/requests/", RequestsConsumer.as_asgi()),
    ]
)
