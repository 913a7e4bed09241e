package qupath.lib.measurements;

/** Signatures of qupath-core/src/main/java/qupath/lib/measurements/MeasurementList.java of QuPath 0.6.0 and 0.7.0. */
public interface MeasurementList {
    void put(String name, double value);

    double get(String name);
}
