"""Log: the library's one logger; it speaks through the standard `logging` module under the name `doubledecker`."""

import logging
from typing import cast

import structlog

log: structlog.stdlib.BoundLogger = cast(
    structlog.stdlib.BoundLogger,
    structlog.wrap_logger(
        logging.getLogger("doubledecker"),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
        ],
    ),
)
