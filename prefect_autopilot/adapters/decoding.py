"""Read an answer of bounded size, however small it was packed."""

from __future__ import annotations

import zlib

import httpx

_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


class TooLargeError(Exception):
    """An answer holds more than may be read."""


async def read_within(response: httpx.Response, largest: int) -> bytes:
    """Return the body of at most ``largest`` bytes, unpacked once.

    The size is counted while it is unpacked: httpx unpacks each piece whole, and packed twice a few
    thousand bytes are gigabytes. Raises TooLargeError, and httpx.DecodingError for a packing that was not
    asked for, is packed again, or is broken.
    """
    if response.is_stream_consumed:  # read by who made it
        if len(response.content) > largest:
            raise TooLargeError
        return response.content
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing in ("", "identity"):
        unpack = None
    elif packing in ("gzip", "x-gzip", "deflate"):
        unpack = zlib.decompressobj(_GZIP_OR_ZLIB)
    else:
        raise httpx.DecodingError(f"packed as {packing[:40]!r}, which was not asked for")
    content = bytearray()
    async for piece in response.aiter_raw():
        if unpack is None:
            content += piece
        else:
            content += _unpacked(unpack, piece, largest - len(content) + 1)
        if len(content) > largest:
            raise TooLargeError
    return bytes(content)


def _unpacked(unpack: zlib._Decompress, piece: bytes, most: int) -> bytes:
    try:
        return unpack.decompress(piece, most)
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from None
