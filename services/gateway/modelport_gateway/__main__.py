"""`python -m modelport_gateway` serves."""

from modelport_gateway.app import main
from modelport_kit.lifecycle import run_service

if __name__ == "__main__":
    run_service(main, name="modelport_gateway")
