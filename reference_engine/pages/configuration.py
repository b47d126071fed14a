"""The page Configuration: what serves and where each value comes from, compared with the file; reload, rollback, drain.

Each button is a form of its own, which htmx sends and shows the outcome of below the buttons; without scripts the
outcome is a page. `Shell.form_of` decides whether it may. A change is carried out by the same methods that the
control's requests use, with the trigger `page`; in a worker, by a request to the supervisor (trigger `control`).
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import trio
from attrs import evolve
from starlette.exceptions import HTTPException
from starlette.routing import Route

from reference_engine.pages.explained import ExplainedSettings
from reference_engine.pages.shell import PageLink, Shell
from reference_engine.reports.printing import describe_reload
from reference_engine.reports.reload_history import as_console
from reference_engine.sets.served_set import VersionChangedError
from voicepipe import ConfigError, PipelineSetClosed, UnknownVersion, describe_difference, format_problems

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from reference_engine.pages.parts import PageParts
    from reference_engine.reloads.outcomes import ReloadResult
    from reference_engine.sets.served_set import ServedSet
    from voicepipe import PipelineSet, ReloadOutcome

TRIGGER = "page"
"""The trigger of changes that are requested here, in logs and in the history."""


class Configuration:
    """The page, and what its buttons do.

    Args:
        shell: shows it.
        parts: the parts of the engine that it shows and acts on.

    """

    def __init__(self, shell: Shell, parts: PageParts) -> None:
        self._shell, self._parts = shell, parts
        self._explained = ExplainedSettings(parts.conceal)
        self._reading = trio.CapacityLimiter(1)  # one file at a time, however often it is asked for

    async def show(self, request: Request) -> Response:
        """Answers with the page of one set: its versions, its buttons, and its settings."""
        return await self._shell.page(request, "configuration.html", **(await self._content(request)))

    async def show_versions(self, request: Request) -> Response:
        """Answers with the part of the page that lists the versions."""
        return await self._shell.page(request, "configuration_versions.html", **(await self._content(request)))

    async def show_settings(self, request: Request) -> Response:
        """Answers with the settings of one pipeline of a version: as a part of the page, or as a page."""
        content = await self._content(request)
        pipelines, version = content["pipelines"], content["version"]
        groups: tuple[Any, ...] = ()
        problem = ""
        if version is None:
            problem = "No version serves yet."
        elif content["pipeline"] not in content["names"]:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such pipeline in that version.")
        else:
            try:
                async with self._reading:
                    groups = await self._explained.groups_of(pipelines, version, content["pipeline"])
            except ConfigError as error:
                problem = self._parts.conceal(format_problems(error.problems))
        name = "configuration_settings.html" if "hx-request" in request.headers else "configuration.html"
        return await self._shell.page(request, name, **{**content, "groups": groups, "problem": problem})

    async def compare(self, request: Request) -> Response:
        """Answers with what a reload of the file would change, or with what serving another version would."""
        served = self._served(request.query_params.get("set"))
        pipelines = self._pipelines(served)
        old, old_name = None, ""
        if pipelines.version is not None:
            old, old_name = pipelines.current.config, f"version {pipelines.version}, which serves"
        try:
            if "version" in request.query_params:
                number = _number(request.query_params["version"])
                new, new_name = await pipelines.read_config_of(number), f"version {number}"
            else:
                async with self._reading:
                    new, new_name = await pipelines.read(), str(served.path)
        except ConfigError as error:
            count = len(error.problems)
            title = f"{served.path} would be rejected: {count} {'problem' if count == 1 else 'problems'}"
            return await self._outcome(request, title, format_problems(error.problems), "bad")
        except UnknownVersion as error:
            raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None
        if old is None:
            return await self._outcome(
                request, f"{new_name} is valid; no version serves to compare it with", "", "good"
            )
        describe = partial(describe_difference, old, new, names=(old_name, new_name))
        text = await trio.to_thread.run_sync(describe)
        return await self._outcome(request, f"{new_name} against {old_name}", text, "")

    async def reload(self, request: Request) -> Response:
        """Reloads all files, or those of one set, and answers with the outcome as the console shows it."""
        form = await self._form(request)
        force = form.get("force") == "true"
        if self._parts.whole is not None:
            params = {**({"set": form["set"]} if form.get("set") else {}), **({"force": "true"} if force else {})}
            return await self._ask_for_change(request, "/-/reload", params=params)
        if not (name := form.get("set", "")):
            result: ReloadResult = await self._parts.reloader.reload(trigger=TRIGGER, force=force)
            outcomes = [*([result.engine] if result.engine is not None else []), *result.sets]
            title = "Some files were rejected" if result.rejected else "All files are served"
            text = "\n\n".join(map(as_console, outcomes))
            return await self._outcome(request, title, text, "bad" if result.rejected else "good", changed=True)
        try:
            outcome = await self._served(name).reload(trigger=TRIGGER, force=force)
        except PipelineSetClosed as error:
            _refuse(error)
        return await self._outcome_of(request, outcome)

    async def roll_back(self, request: Request) -> Response:
        """Rolls a set back to a version, unless another one serves by now than the page showed."""
        form = await self._form(request)
        served = self._served(form.get("set"))
        to, meant = _number(form.get("version", "")), _number(form.get("serving", ""))
        if self._parts.whole is not None:
            path, unless = f"/sets/{quote(served.name, safe='')}/rollback", {"if-match": f'"{meant}"'}
            return await self._ask_for_change(request, path, json={"to": to}, headers=unless)
        try:
            outcome = await served.rollback(to, trigger=TRIGGER, if_version=meant)
        except (PipelineSetClosed, UnknownVersion, VersionChangedError) as error:
            _refuse(error)
        return await self._outcome_of(request, outcome)

    async def drain(self, request: Request) -> Response:
        """Asks the calls of a version that no longer serves to say goodbye."""
        form = await self._form(request)
        served, version = self._served(form.get("set")), _number(form.get("version", ""))
        if version == served.version:
            raise HTTPException(HTTPStatus.CONFLICT, f"Version {version} serves: reload or roll back first.")
        if self._parts.whole is None:
            calls = self._parts.answerer.drain_version(served.name, version)
        else:
            path = f"/sets/{quote(served.name, safe='')}/versions/{version}/drain"
            calls = (await self._ask(path))["calls"]
        title = f"{calls} {'call was' if calls == 1 else 'calls were'} asked to say goodbye and to hang up"
        return await self._outcome(request, f"{served.name} {version}: {title}", "", "good", changed=True)

    async def _ask_for_change(self, request: Request, path: str, **options: Any) -> Response:
        """Has the whole engine carry out a change, and answers with its outcome."""
        body = await self._ask(path, **options)
        outcomes = [*body.get("sets", [body]), *([body["engine"]] if "engine" in body else [])]
        kinds = {outcome["outcome"] for outcome in outcomes}
        mood = "bad" if "rejected" in kinds else "good" if "applied" in kinds else ""
        if "sets" in body or "engine" in body:
            title = "Some files were rejected" if mood == "bad" else "All files are served"
        else:
            title = f"{body['set']}: {body['outcome']}"
        return await self._outcome(request, title, describe_reload(body), mood, changed=True)

    async def _ask(self, path: str, **options: Any) -> dict[str, Any]:
        """Returns the body of the whole engine's answer to a request that changes something.

        Raises:
            HTTPException: the engine refuses it.

        """
        if self._parts.whole is None:
            raise AssertionError("this process is the whole engine")
        status, body = await self._parts.whole.ask("POST", path, **options)
        if "error" in body:
            raise HTTPException(status, f"{body['error']}.")
        return body

    async def _versions(self, served: ServedSet) -> tuple[Any, ...]:
        """Returns the versions of a set, the latest first, with the calls of all workers."""
        versions = () if served.pipelines is None else tuple(reversed(served.pipelines.history))
        if self._parts.whole is None:
            return versions
        _status, body = await self._parts.whole.ask("GET", "/sets")
        states = {
            version["version"]: (version["calls"], version["state"])
            for each in body.get("sets", ())
            if each["set"] == served.name
            for version in each["versions"]
        }
        return tuple(
            evolve(version, calls=states[version.version][0], state=states[version.version][1])
            if version.version in states
            else version
            for version in versions
        )

    async def _content(self, request: Request) -> dict[str, Any]:
        """Returns the values of the templates, for the set, version and pipeline that a request names."""
        served = self._served(request.query_params.get("set"))
        pipelines = served.pipelines
        version, names, active = served.version, tuple[str, ...](), ""
        if pipelines is not None and version is not None:
            version = _number(request.query_params.get("version", str(version)))
            try:
                config = await pipelines.read_config_of(version)
            except UnknownVersion as error:
                raise HTTPException(HTTPStatus.NOT_FOUND, str(error)) from None
            except ConfigError as error:  # of an earlier run, whose secrets are not there any more, say
                raise HTTPException(HTTPStatus.CONFLICT, self._parts.conceal(str(error))) from None
            names, active = config.reachable, config.active_pipeline
        return {
            "sets": tuple(each.name for each in self._parts.sets),
            "set": served.name,
            "file": str(served.path),
            "engine_file": str(self._parts.current.settings.path or ""),
            "pipelines": pipelines,
            "serving": served.version,
            "version": version,
            "versions": await self._versions(served),
            "names": names,
            "pipeline": request.query_params.get("pipeline", active),
            "defaults": request.query_params.get("defaults") == "true",
            "groups": None,
            "problem": "",
        }

    async def _form(self, request: Request) -> dict[str, str]:
        form = await self._shell.form_of(request)
        if not self._parts.readiness.started.is_set():
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, "The engine is starting; try again once it is ready.")
        return form

    async def _outcome_of(self, request: Request, outcome: ReloadOutcome) -> Response:
        kind = type(outcome).__name__.lower()
        mood = {"applied": "good", "rejected": "bad"}.get(kind, "")
        return await self._outcome(request, f"{outcome.set}: {kind}", as_console(outcome), mood, changed=True)

    async def _outcome(self, request: Request, title: str, text: str, mood: str, *, changed: bool = False) -> Response:
        name = "outcome_part.html" if "hx-request" in request.headers else "outcome.html"
        answer = await self._shell.page(request, name, title=title, text=self._parts.conceal(text).rstrip(), mood=mood)
        if changed:
            answer.headers["hx-trigger"] = "versions-changed"
        return answer

    def _served(self, name: str | None) -> ServedSet:
        sets = {served.name: served for served in self._parts.sets}
        if name is None and sets:
            return next(iter(sets.values()))
        if name is None or name not in sets:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no pipeline set {name!r}.")
        return sets[name]

    def _pipelines(self, served: ServedSet) -> PipelineSet:
        if served.pipelines is None:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, f"Pipeline set {served.name!r} is being opened.")
        return served.pipelines


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"A version is a number, not {text!r}.")
    return int(text)


def _refuse(error: Exception) -> NoReturn:
    status = {
        UnknownVersion: HTTPStatus.NOT_FOUND,
        VersionChangedError: HTTPStatus.PRECONDITION_FAILED,
    }.get(type(error), HTTPStatus.SERVICE_UNAVAILABLE)
    raise HTTPException(status, f"{error}.") from None


def add_configuration(shell: Shell, parts: PageParts) -> None:
    """Adds the page to the shell."""
    page = Configuration(shell, parts)
    shell.add(
        PageLink("Configuration", "/configuration"),
        Route("/configuration", page.show),
        Route("/configuration/versions", page.show_versions),
        Route("/configuration/settings", page.show_settings),
        Route("/configuration/difference", page.compare),
        Route("/configuration/reload", page.reload, methods=["POST"]),
        Route("/configuration/rollback", page.roll_back, methods=["POST"]),
        Route("/configuration/drain", page.drain, methods=["POST"]),
    )
