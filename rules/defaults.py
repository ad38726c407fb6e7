"""The rules that are on without any configuration. They open tickets; only what an operator declares may page.

Everything here is learned or needs no numbers, so a new installation is quiet until it has seen ten completed runs of
a job, except about failures. A declared rule of the same kind takes the place of the shipped one on what it matches.
A learned deadline is not among them: it would repeat what late start and duration already say. Each entry of `budgets`
brings its own rule; an SLO is declared by the operator, and pages by its own windows.
"""

from rules.kinds.bill import BillConfig
from rules.kinds.disagreement import DisagreementConfig
from rules.kinds.duration import DurationConfig
from rules.kinds.freshness import FreshnessConfig
from rules.kinds.missing_run import MissingRunConfig
from rules.kinds.orphan import OrphanConfig
from rules.kinds.quality import QualityConfig
from rules.kinds.run_failure import RunFailureConfig
from rules.kinds.slo import SloConfig
from rules.kinds.source_problem import SourceProblemConfig
from rules.kinds.source_silence import SourceSilenceConfig
from rules.kinds.volume import VolumeConfig
from watchtower.model.alert import Severity
from watchtower.model.rule import Rule

DEFAULT_RULES: tuple[Rule, ...] = (
    Rule("RunFailed", "run_failure", RunFailureConfig(), severity=Severity.TICKET),
    Rule("RunMissing", "missing_run", MissingRunConfig(), severity=Severity.TICKET),
    Rule("RunSlow", "duration", DurationConfig(), severity=Severity.TICKET),
    Rule("RunOrphaned", "orphan", OrphanConfig(), severity=Severity.TICKET),
    Rule("DatasetStale", "freshness", FreshnessConfig(), severity=Severity.TICKET),
    Rule("VolumeLow", "volume", VolumeConfig(), severity=Severity.TICKET),
    Rule("QualityFailed", "quality", QualityConfig(), severity=Severity.TICKET),
    Rule("QualityWarned", "quality", QualityConfig(level="warn"), severity=Severity.INFO),
    Rule("BudgetUnknown", "bill", BillConfig(), severity=Severity.TICKET),
    Rule("SloBurn", "slo", SloConfig(), severity=Severity.TICKET),
    Rule("SourcesDisagree", "disagreement", DisagreementConfig(), severity=Severity.TICKET),
    Rule("SourceSilent", "source_silence", SourceSilenceConfig(), severity=Severity.TICKET),
    Rule("SourceProblem", "source_problem", SourceProblemConfig(), for_s=300.0, severity=Severity.TICKET),
)
