"""Starts faster-whisper behind OpenAI's route for transcriptions: a server for `speech_serving.py`.

    PYTHON benchmarks/faster_whisper_server.py whisper-base-ctranslate2 --port 5000 --threads 2

PYTHON has faster-whisper (1.2.1 was tried), starlette, uvicorn and python-multipart. One recording after the other is
transcribed, by the loop that faster-whisper has for one, with its defaults and voice detection.
"""

import argparse
import threading

import uvicorn
from faster_whisper import WhisperModel
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compute-type", default="int8")
    args = parser.parse_args()
    model = WhisperModel(args.model, device="cpu", compute_type=args.compute_type, cpu_threads=args.threads)
    turn = threading.Lock()

    def transcribed(file: object, language: str | None) -> str:
        with turn:
            segments, _ = model.transcribe(file, language=language, vad_filter=True)
            return "".join(segment.text for segment in segments).strip()

    async def transcriptions(request: Request) -> JSONResponse:
        async with request.form() as form:
            text = await run_in_threadpool(transcribed, form["file"].file, form.get("language"))
        return JSONResponse({"text": text})

    async def languages(_: Request) -> JSONResponse:
        return JSONResponse([])

    routes = [Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]), Route("/languages", languages)]
    uvicorn.run(Starlette(routes=routes), port=args.port, log_level="warning")


if __name__ == "__main__":
    main()
