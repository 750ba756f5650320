"""Do etcd's clients work over TLS, and does each get the protocol that it speaks?

usage: tls_client.py HOST:PORT FOLDER, which has ca.crt, client.crt and client.key
"""

import base64
import json
import socket
import ssl
import subprocess
import sys

import etcd3

SECONDS = 30


def context(folder, protocols):
    made = ssl.create_default_context(cafile=f"{folder}/ca.crt")
    made.load_cert_chain(f"{folder}/client.crt", f"{folder}/client.key")
    made.set_alpn_protocols(protocols)
    return made


def require(expected, got, what):
    if expected != got:
        sys.exit(f"{what}: expected {expected!r}, got {got!r}")


def main():
    endpoint, folder = sys.argv[1:]
    host, port = endpoint.rsplit(":", 1)
    for offered, chosen in ((["h2"], "h2"), (["http/1.1"], "http/1.1"),
                            (["h2", "http/1.1"], "http/1.1")):
        with socket.create_connection((host, int(port)), SECONDS) as plain:
            with context(folder, offered).wrap_socket(plain, server_hostname=host) as secure:
                require(chosen, secure.selected_alpn_protocol(), f"the protocol of {offered}")

    client = etcd3.client(host=host, port=int(port), timeout=SECONDS, ca_cert=f"{folder}/ca.crt",
                          cert_cert=f"{folder}/client.crt", cert_key=f"{folder}/client.key")
    client.put("grpc", "1")
    require(b"1", client.get("grpc")[0], "what was put over gRPC")

    ctl = ["etcdctl", f"--endpoints=https://{endpoint}", f"--cacert={folder}/ca.crt",
           f"--cert={folder}/client.crt", f"--key={folder}/client.key"]
    done = subprocess.run([*ctl, "put", "ctl", "2"], capture_output=True, text=True,
                          timeout=SECONDS, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
    require((0, "OK\n"), (done.returncode, done.stdout), f"etcdctl put ({done.stderr})")

    # As curl does: it can speak both.
    body = json.dumps({"key": base64.b64encode(b"ctl").decode()}).encode()
    request = (f"POST /v3/kv/range HTTP/1.1\r\nHost: {endpoint}\r\nConnection: close\r\n"
               f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    with socket.create_connection((host, int(port)), SECONDS) as plain:
        with context(folder, ["h2", "http/1.1"]).wrap_socket(plain, server_hostname=host) as secure:
            secure.sendall(request)
            answer = b"".join(iter(lambda: secure.recv(65536), b""))
    require("200", answer.split(b" ", 2)[1].decode(), f"the status of {answer!r}")
    found = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    require("Mg==", found["kvs"][0]["value"], "what etcdctl put, over the gateway")
    print("tls: all as expected")


if __name__ == "__main__":
    main()
