# SPDX-License-Identifier: Apache-2.0
"""Computing: a job is cut into tiles, which an engine computes, an executor runs, and a sink takes."""
