package org.slf4j;

/** Signatures of slf4j-api/src/main/java/org/slf4j/LoggerFactory.java of SLF4J 2.0, which QuPath 0.6.0 and 0.7.0 bundle. */
public final class LoggerFactory {
    public static Logger getLogger(Class<?> clazz) {
        return new Logger() {
            @Override
            public void info(String msg) {
                System.err.println("  log: " + msg);
            }

            @Override
            public void info(String format, Object arg1, Object arg2) {
                info(String.format(format.replace("{}", "%s"), arg1, arg2));
            }
        };
    }
}
