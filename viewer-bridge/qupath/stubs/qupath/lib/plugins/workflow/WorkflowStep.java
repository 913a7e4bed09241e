package qupath.lib.plugins.workflow;

/** Signatures of qupath-core/src/main/java/qupath/lib/plugins/workflow/WorkflowStep.java of QuPath 0.6.0 and 0.7.0. */
public interface WorkflowStep {
    String getName();
}
