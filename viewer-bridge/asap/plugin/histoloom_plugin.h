// Histoloom in ASAP: a menu, a dock, and the overlay in the viewer's scene. ASAP makes one, tells it of slides, and deletes it.
#pragma once

#include "controller.h"

#include <interfaces.h>

#include <QDockWidget>

#include <memory>
#include <string>

class HistoloomPlugin : public WorkstationExtensionPluginInterface {
    Q_OBJECT
    Q_PLUGIN_METADATA(IID "ASAP.WorkstationExtensionPluginInterface/1.0")
    Q_INTERFACES(WorkstationExtensionPluginInterface)

public:
    ~HistoloomPlugin() override;
    bool initialize(PathologyViewer *viewer) override;
    QMenu *getMenu() override;
    QDockWidget *getDockWidget() override;

public slots:
    // ASAP connects these by name.
    void onNewImageLoaded(std::weak_ptr<MultiResolutionImage> image, std::string file);
    void onImageClosed() override;

private:
    using WorkstationExtensionPluginInterface::onNewImageLoaded;

    std::unique_ptr<histoloom::Controller> controller_;
    QPointer<QDockWidget> dock_;
};
