"""Serve a policy: `python -m playpen_jax.serve --checkpoint=PATH [--port=8000]`, an OpenAI-compatible endpoint.

POST /v1/chat/completions (with "stream": true as the tokens come), GET /v1/models, GET /health. Requests share the rows of one
sampler as they come and go. It listens on loopback unless --host says otherwise; there is no authentication.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from playpen_jax.programs import compilation_cache, parser, user_errors


def main(argv: Sequence[str] | None = None) -> int:
    options = parser("serve", __doc__)
    options.add_argument("--checkpoint", required=True, metavar="PATH")
    options.add_argument("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    options.add_argument("--port", type=int, default=8000)
    options.add_argument("--rows", type=int, default=32, help="dialogues on the device at once (default: 32)")
    options.add_argument("--context", type=int, default=2048, help="tokens of a dialogue and its reply (default: 2048)")
    options.add_argument("--model", help="the name that clients know (default: the path)")
    args = options.parse_args(argv)
    with user_errors():
        if args.rows < 1 or args.context < 2:
            raise ValueError("--rows and --context must be 1 and 2 at least")
        from playpen_jax import policy  # JAX, for which --help does not wait
        from playpen_jax.serving.server import Server

        compilation_cache()
        served = policy.load(args.checkpoint)
        if served.chat is None:
            raise ValueError(f"--checkpoint={args.checkpoint} has no tokenizer")
        try:
            server = Server(served, args.model or str(args.checkpoint), args.host, args.port, args.rows, args.context)
        except OverflowError as error:
            raise ValueError(f"--port={args.port}: {error}") from None
    print(f"serving {server.model} on http://{args.host}:{server.server_address[1]}/v1", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print("stopped")
    finally:
        server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
