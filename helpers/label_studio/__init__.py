"""The loop with a Label Studio server. Nothing outside this folder imports it but notebooks and uvicorn."""
