package org.slf4j;

/** Signatures of slf4j-api/src/main/java/org/slf4j/Logger.java of SLF4J 2.0, which QuPath 0.6.0 and 0.7.0 bundle. */
public interface Logger {
    void info(String msg);

    void info(String format, Object arg1, Object arg2);
}
