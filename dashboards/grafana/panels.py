"""What all dashboards share: variables, the kinds of panels, colours, the layout, and stable ids."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from grafana_foundation_sdk.builders import (
    barchart,
    bargauge,
    common,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as cm
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from watchtower.telemetry.metrics import RUN_STATE_CODES

SOURCE: Final = cm.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG: Final = "watchtower"
FLEET, PIPELINE, COST, SLOS = "watchtower-fleet", "watchtower-pipeline", "watchtower-cost", "watchtower-slos"

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "#8e8e8e"
_STATE_COLOURS: Final[Mapping[str, str]] = {
    "queued": GREY,
    "running": BLUE,
    "retry_wait": YELLOW,
    "succeeded": GREEN,
    "skipped": GREY,
    "cancelled": ORANGE,
}
STATES: Final = dm.ValueMap(
    {
        str(code): dm.ValueMappingResult(
            text=state.value.replace("_", " "), color=_STATE_COLOURS.get(state.value, RED), index=place
        )
        for place, (state, code) in enumerate(RUN_STATE_CODES.items())
    }
)
BAD_STATES: Final = "|".join(state.value for state in RUN_STATE_CODES if state.is_bad)
FIRST_BAD_CODE: Final = min(code for state, code in RUN_STATE_CODES.items() if state.is_bad)

P = TypeVar("P", bound=Any)
Steps = Sequence[tuple[float | None, str]]
ALL_WELL_AT_ZERO: Final[Steps] = ((None, GREEN), (1, RED))
NEUTRAL: Final[Steps] = ((None, BLUE),)


@dataclass(frozen=True, slots=True)
class Target:
    """One expression. legend: of its series; instant: only the newest value; ref: its letter in tables."""

    expr: str
    legend: str = ""
    instant: bool = False
    exemplars: bool = False
    ref: str = ""
    as_table: bool = False
    as_heatmap: bool = False


def _query(target: Target, ref: str) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(target.expr).legend_format(target.legend or "__auto")
    made = made.ref_id(target.ref or ref).datasource(SOURCE)
    made = made.instant() if target.instant or target.as_table else made.range()
    if target.exemplars:
        made = made.exemplar(True)
    if target.as_table:
        made = made.format(PromQueryFormat.TABLE)
    elif target.as_heatmap:
        made = made.format(PromQueryFormat.HEATMAP)
    return made


def _framed(panel: P, title: str, text: str, targets: Sequence[Target], *, unit: str, size: tuple[int, int]) -> P:
    panel = panel.title(title).description(text).datasource(SOURCE).unit(unit).span(size[0]).height(size[1])
    for place, target in enumerate(targets):
        panel.with_target(_query(target, chr(ord("A") + place)))
    return panel


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig()
        .mode(dm.ThresholdsMode.ABSOLUTE)
        .steps([dm.Threshold(value=value, color=colour) for value, colour in steps])
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False)


def _legend(*calcs: str) -> common.VizLegendOptions:
    shown = common.VizLegendOptions().show_legend(True).placement(cm.LegendPlacement.BOTTOM).calcs(list(calcs))
    return shown.display_mode(cm.LegendDisplayMode.TABLE if calcs else cm.LegendDisplayMode.LIST)


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(cm.TooltipDisplayMode.MULTI).sort(cm.SortOrder.DESCENDING)


# -- kinds of panels ----------------------------------------------------------------------------------------------


def number(
    title: str,
    text: str,
    *targets: Target,
    unit: str = "short",
    steps: Steps = ALL_WELL_AT_ZERO,
    width: int = 4,
    states: bool = False,
    decimals: int | None = None,
    link: build.DashboardLink | None = None,
) -> stat.Panel:
    """One large value, coloured by its thresholds. states: it is the state of a run."""
    panel = _framed(stat.Panel(), title, text, targets, unit=unit, size=(width, 4)).thresholds(_thresholds(steps))
    panel = panel.reduce_options(_last()).color_mode(cm.BigValueColorMode.BACKGROUND_SOLID)
    panel = panel.graph_mode(cm.BigValueGraphMode.NONE if states else cm.BigValueGraphMode.AREA).no_value("–")
    if states:
        panel = panel.mappings([STATES])
    if decimals is not None:
        panel = panel.decimals(decimals)
    return panel if link is None else panel.links([link])


def lines(
    title: str,
    text: str,
    *targets: Target,
    unit: str = "short",
    width: int = 12,
    height: int = 8,
    steps: Steps = (),
    every: str = "",
    stacked: bool = False,
    colours: Mapping[str, str] | None = None,
    calcs: Sequence[str] = (),
) -> timeseries.Panel:
    """Values over time. every: the shortest step, so that a rate is over enough events; stacked: as bars; steps: drawn
    as a line where the first colour ends; colours: by name of the series."""
    panel = _framed(timeseries.Panel(), title, text, targets, unit=unit, size=(width, height)).min(0)
    panel = panel.legend(_legend(*calcs)).tooltip(_tooltip())
    if stacked:
        panel = panel.draw_style(cm.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
        panel = panel.stacking(common.StackingConfig().mode(cm.StackingMode.NORMAL).group("A"))
    else:
        panel = panel.line_width(2).fill_opacity(8).show_points(cm.VisibilityMode.AUTO)
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(cm.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_thresholds(steps)).thresholds_style(style)
    if every:
        panel = panel.interval(every)
    for name, colour in (colours or {}).items():
        fixed = dm.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
        panel = panel.override_by_name(name, [fixed])
    return panel


def bars(
    title: str,
    text: str,
    *targets: Target,
    unit: str = "short",
    steps: Steps = NEUTRAL,
    width: int = 12,
    height: int = 8,
    most: float | None = None,
) -> bargauge.Panel:
    """One horizontal bar for each series, as it stands now. most: the right end."""
    panel = _framed(bargauge.Panel(), title, text, targets, unit=unit, size=(width, height)).min(0)
    panel = panel.thresholds(_thresholds(steps)).reduce_options(_last()).no_value("–")
    panel = panel.orientation(cm.VizOrientation.HORIZONTAL).display_mode(cm.BarGaugeDisplayMode.BASIC)
    return panel if most is None else panel.max(most)


def states(title: str, text: str, target: Target, *, width: int = 24, height: int = 10) -> statetimeline.Panel:
    """The state of runs over time, one row a series."""
    panel = _framed(statetimeline.Panel(), title, text, [target], unit="none", size=(width, height))
    panel = panel.mappings([STATES]).thresholds(_thresholds(((None, GREY),))).merge_values(True)
    panel = panel.show_value(cm.VisibilityMode.NEVER).row_height(0.85).fill_opacity(80).line_width(0).per_page(25)
    return panel.legend(_legend()).tooltip(common.VizTooltipOptions().mode(cm.TooltipDisplayMode.SINGLE))


@dataclass(frozen=True, slots=True)
class Column:
    """field: a label, or `Value #A`. link: where a cell leads to; states: it is the state of a run."""

    field: str
    title: str
    unit: str = ""
    steps: Steps = ()
    link: str = ""
    states: bool = False


def rows(
    title: str, text: str, *targets: Target, columns: Sequence[Column], width: int = 12, height: int = 8
) -> table.Panel:
    """A table with one row for each set of labels; the queries meet by the labels that they share."""
    panel = _framed(table.Panel(), title, text, targets, unit="short", size=(width, height)).show_header(True)
    order = {column.field: place for place, column in enumerate(columns)}
    include = {"includeByName": dict.fromkeys(order, True), "indexByName": order, "excludeByName": {}}
    rename = {"renameByName": {column.field: column.title for column in columns}}
    panel = panel.with_transformation(dm.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(dm.DataTransformerConfig(id_val="organize", options={**include, **rename}))
    for column in columns:
        properties = list(_column_properties(column))
        if properties:
            panel = panel.override_by_name(column.title, properties)
    return panel


def _column_properties(column: Column) -> Iterator[dm.DynamicConfigValue]:
    if column.unit:
        yield dm.DynamicConfigValue("unit", column.unit)
    if column.states:
        yield dm.DynamicConfigValue("mappings", [STATES])
    if column.steps:
        steps = [{"value": value, "color": colour} for value, colour in column.steps]
        yield dm.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps})
    if column.states or column.steps:
        yield dm.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})
    if column.link:
        yield dm.DynamicConfigValue("links", [{"title": column.title, "url": column.link}])


def by_day(title: str, text: str, target: Target, *, unit: str, width: int = 24, height: int = 10) -> barchart.Panel:
    """Stacked bars, one for each value of the label `day`, one colour for each other series."""
    panel = _framed(barchart.Panel(), title, text, [target], unit=unit, size=(width, height))
    matrix = {"columnField": "series", "rowField": "day", "valueField": "Value"}
    panel = panel.with_transformation(dm.DataTransformerConfig(id_val="groupingToMatrix", options=matrix))
    sort = {"sort": [{"field": "day\\series"}]}
    panel = panel.with_transformation(dm.DataTransformerConfig(id_val="sortBy", options=sort))
    panel = panel.x_field("day\\series").stacking(cm.StackingMode.NORMAL).orientation(cm.VizOrientation.VERTICAL)
    return panel.show_value(cm.VisibilityMode.NEVER).fill_opacity(80).legend(_legend()).tooltip(_tooltip())


# -- dashboards ---------------------------------------------------------------------------------------------------


def source_variable(name: str) -> build.DatasourceVariable:
    """name: of the data source that is chosen at first, as Grafana knows it."""
    chosen = dm.VariableOption(selected=True, text=name, value=name)
    return build.DatasourceVariable("datasource").label("Prometheus").type("prometheus").current(chosen)


def choice(name: str, label: str, query: str, *, several: bool = True) -> build.QueryVariable:
    """A variable of a label's values. several: any number of them, all at first."""
    made = build.QueryVariable(name).label(label).datasource(SOURCE).query(query).definition(query)
    made = made.refresh(dm.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(dm.VariableSort.ALPHABETICAL_ASC)
    if not several:
        return made
    everything = dm.VariableOption(selected=True, text="All", value="$__all")
    return made.multi(True).include_all(True).all_value(".*").current(everything)


def link_to(uid: str, title: str) -> build.DashboardLink:
    """Another dashboard, with the same variables and time."""
    made = build.DashboardLink(title).type(dm.DashboardLinkType.LINK).url(f"/d/{uid}").icon("dashboard")
    return made.include_vars(True).keep_time(True)


def to_watchtower(url: str, path: str = "/", title: str = "Watchtower") -> build.DashboardLink:
    made = build.DashboardLink(title).type(dm.DashboardLinkType.LINK).url(f"{url}{path}").icon("external link")
    return made.target_blank(True)


Section = tuple[str, Sequence[Any]]


def laid_out(made: build.Dashboard, sections: Sequence[Section]) -> dm.Dashboard:
    """Sections under one another, each a row with its panels; ids in the order of the page."""
    for title, panels in sections:
        made = made.with_row(build.Row(title))
        for panel in panels:
            made = made.with_panel(panel)
    dashboard = made.build()
    for ident, panel in enumerate(dashboard.panels or (), start=1):
        panel.id_val = ident
    return dashboard


def dashboard(uid: str, title: str, text: str, *, hours: int, refresh: str = "30s") -> build.Dashboard:
    made = build.Dashboard(title).uid(uid).description(text).tags([TAG]).time(f"now-{hours}h", "now").refresh(refresh)
    return made.tooltip(dm.DashboardCursorSync.CROSSHAIR).timezone("browser").readonly()


def to_json(made: dm.Dashboard) -> str:
    """As it is written to a file: the same for the same dashboard."""
    document = json.loads(json.dumps(made, cls=JSONEncoder))
    for link in document["links"]:
        del link["placement"]  # the SDK would hide every link in a menu
    return json.dumps(document, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
