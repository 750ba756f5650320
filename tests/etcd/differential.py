#!/usr/bin/env python3
"""Does raftkv answer a random script of etcd calls as etcd does, field by field?

usage: differential.py (--endpoints HOST:PORT,... | --self-test) [--calls N] [--seed S]

Makes the same calls, by the gRPC stubs of python3-etcd3, on one etcd that it starts itself and on
the given cluster, which has to be new. --self-test: on a second etcd, to see that the script is
deterministic. Prints the first difference with the calls before it, and exits with 1.
"""

import argparse
import sys
import time

import grpc

from etcd_comparison import Comparison, Different
from etcd_endpoint import Server
from etcd_script import Script
from etcd_servers import EtcdCluster
from etcd_shapes import run_first, run_shapes
from etcd_watches import Watches

SETTLE_EVERY = 50


def make_calls(comparison, script, watches, calls):
    known = comparison.known
    for number in range(1, calls + 1):
        if script.chance(0.02):
            watches.draw(script, known)
        call = script.next()
        if call.method == "Compact" or number % SETTLE_EVERY == 0:
            watches.settle(known)
        comparison.make(call)
    watches.settle(known)
    time.sleep(0.5)  # what should not come at all
    watches.settle(known)


def run(reference, other, options):
    comparison = Comparison(reference, other, options.self_test)
    script = Script(options.seed, comparison.known, len(other.endpoints))
    watches = None
    started = time.monotonic()
    try:
        run_first(comparison, script)
        watches = Watches(reference, other, options.self_test, comparison.known.revision)
        run_shapes(comparison, watches, script)
        make_calls(comparison, script, watches, options.calls)
    except (Different, grpc.RpcError) as different:
        comparison.report(different,
                          f"differential.py --seed {options.seed} --calls {options.calls}")
        return 1
    finally:
        if watches:
            watches.close()
    comparison.print_outcomes()
    print(f"equal: {comparison.made} calls of seed {options.seed} in "
          f"{time.monotonic() - started:.0f} s, revision {comparison.known.revision}, "
          f"{watches.opened} watches with {watches.delivered} events")
    return 0


def parse_arguments(description, calls):
    """The options that both comparisons have."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--endpoints", help="of a new cluster, separated by commas")
    which.add_argument("--self-test", action="store_true", help="compare etcd with etcd")
    parser.add_argument("--calls", type=int, default=calls)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main():
    options = parse_arguments(__doc__, calls=5000)
    with EtcdCluster() as etcd:
        reference = Server("etcd", etcd.endpoints)
        if not options.self_test:
            return run(reference, Server("raftkv", options.endpoints.split(",")), options)
        with EtcdCluster() as second:
            return run(reference, Server("the second etcd", second.endpoints), options)


if __name__ == "__main__":
    sys.exit(main())
