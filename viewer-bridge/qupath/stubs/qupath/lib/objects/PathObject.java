package qupath.lib.objects;

import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import qupath.lib.measurements.MeasurementList;
import qupath.lib.objects.classes.PathClass;
import qupath.lib.roi.interfaces.ROI;

/** Signatures of qupath-core/src/main/java/qupath/lib/objects/PathObject.java of QuPath 0.6.0 and 0.7.0. */
public abstract class PathObject {
    private final List<PathObject> children = new ArrayList<>();
    private final Map<String, Double> values = new LinkedHashMap<>();
    private PathObject parent;
    private String name;
    private boolean locked;

    public synchronized void addChildObject(PathObject pathObject) {
        children.add(pathObject);
        pathObject.parent = this;
    }

    public PathObject getParent() {
        return parent;
    }

    public Collection<PathObject> getChildObjects() {
        return children;
    }

    public synchronized MeasurementList getMeasurementList() {
        return new MeasurementList() {
            @Override
            public void put(String measurement, double value) {
                values.put(measurement, value);
            }

            @Override
            public double get(String measurement) {
                return values.getOrDefault(measurement, Double.NaN);
            }
        };
    }

    public boolean isAnnotation() {
        return false;
    }

    public boolean isDetection() {
        return false;
    }

    public String getName() {
        return name;
    }

    public void setName(String name) {
        this.name = name;
    }

    public boolean isLocked() {
        return locked;
    }

    public void setLocked(boolean locked) {
        this.locked = locked;
    }

    public abstract PathClass getPathClass();

    public abstract ROI getROI();
}
