"""Settings of every test: two host devices, strict shapes, strict keys, and a compilation cache.

Three quarters of the suite's time is compilation. Without the slow tests, programs are therefore compiled without
LLVM's costly passes; `pytest -m slow` and `pytest -m ""` run what users run.

They are set before jax is imported: pytest imports this file first.
"""

import contextlib
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
TWO_DEVICES = "--xla_force_host_platform_device_count"
if TWO_DEVICES not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {TWO_DEVICES}=2".strip()

import jax  # noqa: E402
import pytest  # noqa: E402

# An empty JAXRL_TEST_CACHE turns the cache off: for cold timings, or a checkout that cannot be written.
CACHE = os.environ.get("JAXRL_TEST_CACHE", str(pathlib.Path(__file__).parent.parent / ".jax_cache"))
if CACHE:
    jax.config.update("jax_compilation_cache_dir", CACHE)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

# A silent broadcast of [B] against [B, 1] is the field's most expensive typo.
jax.config.update("jax_numpy_rank_promotion", "raise")
# The checker of keys sees typed ones only, so the old ones are refused.
jax.config.update("jax_legacy_prng_key", "error")
jax.config.update("jax_debug_key_reuse", True)
# The checker takes every operation that it does not know for a use of the key, and it does not know the
# transposition by which vmap moves the time axis of a scan's keys to the front. Teach it, so that it checks
# batched programs too.
with contextlib.suppress(ImportError, AttributeError):
    from jax.experimental.key_reuse import _core as key_reuse

    forward = key_reuse.KeyReuseSignature(key_reuse.Forward(0, 0))
    key_reuse.key_reuse_signatures[jax.lax.transpose_p] = forward


def pytest_configure(config: pytest.Config) -> None:
    jax.config.update("jax_disable_most_optimizations", config.getoption("markexpr") == "not slow")


# Every compiled program holds memory maps, and a process that has all it may have dies.
MAPS, MOST_MAPS = pathlib.Path("/proc/self/maps"), pathlib.Path("/proc/sys/vm/max_map_count")


@pytest.fixture(autouse=True, scope="module")
def programs_end_with_their_module():
    """Drop compiled programs."""
    yield
    jax.clear_caches()


@pytest.fixture(autouse=True)
def programs_end_before_the_memory_maps():
    """Drop compiled programs when half of the maps are taken, in modules of many programs."""
    yield
    if MOST_MAPS.exists() and MAPS.read_bytes().count(b"\n") > int(MOST_MAPS.read_text()) // 2:
        jax.clear_caches()
