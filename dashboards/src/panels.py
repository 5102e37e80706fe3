"""What all panels share: the one datasource variable, units, descriptions, and PromQL that honours the variables."""

from __future__ import annotations

from typing import NamedTuple

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = DataSourceRef("prometheus", "${datasource}")

#: Label matchers of metrics that have a build, and of those that have none.
BUILD = 'config=~"$config",instance=~"$instance",build=~"$build"'
RUN = 'config=~"$config",instance=~"$instance"'

Panel = timeseries.Panel | stat.Panel | table.Panel | heatmap.Panel
RED, ORANGE, GREEN = "red", "orange", "green"


class Query(NamedTuple):
    """A PromQL expression and how its series are called."""

    expr: str
    legend: str = ""


class Step(NamedTuple):
    """From *value* on (None: from the start) a number is shown in *color*."""

    value: float | None
    color: str


def board(uid: str, title: str, description: str, variables: tuple[str, ...], since: str) -> dashboard.Dashboard:
    """Return an empty dashboard with the datasource, a variable for each of the labels *variables*, marks where
    findings came, and links to the other dashboards."""
    found = f"sum by (config, build, class) (increase(qstress_hangs_total{{{BUILD}}}[$__rate_interval])) > 0"
    made = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["qstress"])
        .readonly()
        .timezone("browser")
        .time(since, "now")
        .refresh("1m")
        .link(
            dashboard.DashboardLink("qstress")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["qstress"])
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(
            dashboard.AnnotationQuery()
            .name("Findings")
            .datasource(DATASOURCE)
            .enable(True)
            .icon_color(RED)
            .target(_targets((Query(found, "{{build}} {{class}}"),))[0])
        )
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for label in variables:
        source = "qstress_qemu_info" if label == "build" else "qstress_run_info"
        matchers = "" if label == "config" else '{config=~"$config"}'
        made.with_variable(
            dashboard.QueryVariable(label)
            .datasource(DATASOURCE)
            .query(f"label_values({source}{matchers}, {label})")
            .current(VariableOption(True, "All", "$__all"))
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(VariableSort.ALPHABETICAL_ASC)
            .hide(VariableHide.DONT_HIDE)
            .include_all(True)
            .all_value(".*")
            .multi(True)
        )
    return made


def series(
    title: str, description: str, unit: str, *queries: Query, width: int = 12, stacked: bool = False,
    limits: bool = False, steps: tuple[Step, ...] = (), ceiling: float | None = None,
) -> timeseries.Panel:  # fmt: skip
    """Return a graph over time. ``limits`` draws series named ``… lower`` and ``… upper`` thin and dashed."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .span(width)
        .height(9)
        .draw_style(GraphDrawStyle.LINE)
        .fill_opacity(25 if stacked else 0)
        .show_points(VisibilityMode.AUTO)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if ceiling is not None:
        panel.max(ceiling)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if limits:
        thin = [
            DynamicConfigValue("custom.lineWidth", 1),
            DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [4, 6]}),
        ]
        panel.override_by_regexp("/ (lower|upper)$/", thin)
    if steps:
        panel.thresholds(_thresholds(steps)).thresholds_style(
            common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
        )
    for query in _targets(queries):
        panel.with_target(query)
    return panel


def heat(title: str, description: str, unit: str, metric: str) -> heatmap.Panel:
    """Return the histogram *metric* over time: a column a moment, a row a bucket."""
    counted = f"sum by (le) (increase({metric}_bucket{{{BUILD}}}[$__rate_interval]))"
    (target,) = _targets((Query(counted, "{{le}}"),))
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit("short")
        .span(12)
        .height(9)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .with_target(target.format(PromQueryFormat.HEATMAP))
    )


def number(
    title: str, description: str, unit: str, query: Query, *, width: int = 4, steps: tuple[Step, ...] = ()
) -> stat.Panel:
    """Return one number for each series of *query*, as it is now."""
    panel = stat.Panel().title(title).description(description).datasource(DATASOURCE).unit(unit).span(width).height(6)
    panel.thresholds(_thresholds(steps or (Step(None, "text"),))).graph_mode(BigValueGraphMode.NONE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    (target,) = _targets((query,), instant=True)
    return panel.with_target(target)


def listing(title: str, description: str, query: Query, columns: dict[str, str], *, width: int = 12) -> table.Panel:
    """Return a table of the labels in *columns* (label: heading), one row a series, in that order."""
    (target,) = _targets((query,), instant=True)
    hidden = {"Time": True, "Value": True, "__name__": True, "job": True}
    arrange = {
        "excludeByName": {name: hide for name, hide in hidden.items() if name not in columns},
        "indexByName": {label: place for place, label in enumerate(columns)},
        "renameByName": columns,
    }
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit("none")
        .span(width)
        .height(7)
        .with_target(target.format(PromQueryFormat.TABLE))
        .with_transformation(DataTransformerConfig("organize", options=arrange))
    )


def finished(made: dashboard.Dashboard, rows: dict[str, list[Panel]]) -> dashboard.Dashboard:
    """Put the panels of *rows* (by heading) on the dashboard, numbered from 1."""
    number_of = 0
    for heading, panels in rows.items():
        number_of += 1
        made.with_row(dashboard.Row(heading).id(number_of))
        for panel in panels:
            number_of += 1
            made.with_panel(panel.id(number_of))
    return made


def _targets(queries: tuple[Query, ...], *, instant: bool = False) -> list[prometheus.Dataquery]:
    made = []
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).datasource(DATASOURCE).expr(query.expr)
        target = target.instant() if instant else target.range()
        made.append(target.legend_format(query.legend or "__auto"))
    return made


def _thresholds(steps: tuple[Step, ...]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([Threshold(s.value, s.color) for s in steps])
    )
