"""The pages of a report: one static folder that opens from the disk, without a server or a request to anybody."""

from __future__ import annotations

from robustbench_msda.page.site import Study, build_pages

__all__ = ["Study", "build_pages"]
