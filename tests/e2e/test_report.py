"""A process leaves its reports, metrics and messages where people and programs find them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.town import SPEED, Town, output_of, town

from bottlerocket_ecs_updater.simulator.scenarios import row

CLUSTER = "demo"


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Town]:
    with town(row(2), tmp_path / "state", speed=SPEED) as made:
        yield made


def ask(built: Town, *words: str) -> str:
    """The output of another command."""
    where = ["--cluster", CLUSTER, "--region", built.scenario.names.region, "--state", str(built.state)]
    done = subprocess.run(
        [sys.executable, "-m", "bottlerocket_ecs_updater", *words, *where],
        env=built.environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout


def test_a_run_leaves_its_reports_and_they_can_be_made_again(built: Town) -> None:
    output = built.run()
    (run,) = {line["run"] for line in output.lines}
    folder = built.state / "runs" / built.scenario.names.account / built.scenario.names.region / CLUSTER
    page = (folder / run / "report.html").read_text("utf-8")
    assert "All 2 instances updated to 1.53.1" in page
    assert f"{run}/report.html" in (folder / "index.html").read_text("utf-8")
    assert f"report {run} --cluster {CLUSTER} --region {built.scenario.names.region} --state {built.state}" in page
    assert json.loads(ask(built, "report", run, "--out", "--format", "json"))["counts"]["updated"] == 2
    link = '<li class="away"><a href="../index.html">All runs</a></li>'
    alone = ask(built, "report", "--out", "--format", "html")
    assert re.sub(r" All runs: <code>[^<]*</code>[.]", "", alone) == page.replace(link, "")
    (entry,) = json.loads(ask(built, "history", "--format", "json"))["runs"]
    assert (entry["run"], entry["ending"]) == (run, "success")


def test_the_last_line_of_a_log_with_metrics_is_still_the_canonical_one(built: Town) -> None:
    output = built.run()
    assert output.last["event"] == "run.finished"
    assert [line["RunsSucceeded"] for line in output.of("metrics") if "RunsSucceeded" in line] == [1]


def test_metrics_can_be_turned_off(built: Town) -> None:
    assert built.run("--metrics", "off").of("metrics") == []


def test_a_topic_and_a_bus_deliver_to_a_queue(built: Town) -> None:
    topic, mail = _queue_behind_a_topic(built)
    events = _queue_behind_a_rule(built)
    assert built.run("--notify-topic", topic, "--event-bus", "default").exit_code == 0
    mails = [json.loads(body) for body in _received(built, mail)]
    assert mails[0]["Subject"].startswith("[demo] update from 1.52.0 to 1.53.1 started")
    assert any("All 2 instances updated" in mail["Message"] for mail in mails)
    sent = [json.loads(body) for body in _received(built, events)]
    assert {"run.started", "instance.updated", "run.finished"} <= {event["detail-type"] for event in sent}
    (end,) = [event["detail"] for event in sent if event["detail-type"] == "run.finished"]
    assert (end["updated"], end["cluster"]) == (2, CLUSTER)


def test_a_webhook_behind_a_secret_is_reported_and_its_address_is_in_no_log(built: Town) -> None:
    with _listener() as (address, bodies):
        held = json.dumps({"url": address})
        secret = built.client("secretsmanager").create_secret(Name="chat", SecretString=held)["ARN"]
        output = built.run("--webhook-secret", secret)
    assert any("All 2 instances updated" in body["text"] for body in bodies)
    assert address not in json.dumps([dict(line) for line in output.lines])


def test_an_unreachable_recipient_causes_a_warning_and_stops_no_run(built: Town) -> None:
    topic = f"arn:aws:sns:{built.scenario.names.region}:{built.scenario.names.account}:gone"
    output = output_of(built.start("--notify-topic", topic))
    assert output.exit_code == 0
    assert [line["outcome"] for line in output.of("run.finished")] == ["ok"]
    assert output.of("output.failed")


def _queue_behind_a_topic(built: Town) -> tuple[str, str]:
    url, arn = _queue(built, "mail")
    sns = built.client("sns")
    topic: str = sns.create_topic(Name="people")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, url


def _queue_behind_a_rule(built: Town) -> str:
    url, arn = _queue(built, "events")
    pattern = json.dumps({"source": ["bottlerocket-ecs-updater"]})
    events = built.client("events")
    events.put_rule(Name="ours", EventPattern=pattern)
    events.put_targets(Rule="ours", Targets=[{"Id": "queue", "Arn": arn}])
    return url


def _queue(built: Town, name: str) -> tuple[str, str]:
    sqs = built.client("sqs")
    url: str = sqs.create_queue(QueueName=name)["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def _received(built: Town, url: str) -> list[str]:
    """Every message of a queue."""
    bodies: list[str] = []
    sqs = built.client("sqs")
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        for message in messages:
            bodies.append(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return bodies


@contextmanager
def _listener() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A webhook on loopback that keeps what was posted."""
    bodies: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/T000/secret-path", bodies
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_simulated_run_writes_its_report_to_the_given_place(tmp_path: Path) -> None:
    file = tmp_path / "report.md"
    simulate = [sys.executable, "-m", "bottlerocket_ecs_updater", "simulate"]
    asked = ["--instances", "8", "--speed", "60", "--report", str(file)]
    done = subprocess.run([*simulate, *asked], capture_output=True, check=False, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Its report is in {file}." in done.stdout
    text = file.read_text("utf-8")
    assert text.startswith("# 2 instances failed; 2 of 7 instances updated to 1.53.1\n")
    assert "could not stage the update; it is in service" in text
    assert "rolled back to the old version; it is in service" in text
    assert "standalone-task" in text
